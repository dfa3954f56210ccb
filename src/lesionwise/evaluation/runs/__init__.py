"""The part of evaluation that reads and writes run folders."""
