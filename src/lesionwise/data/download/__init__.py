"""HAM10000 from its three sources to one folder: the only place outside `serve` that opens a socket."""
