"""Networks: each has features, a head and the statistics that its input is normalised with."""
