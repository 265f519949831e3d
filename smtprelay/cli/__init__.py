"""One module per command group; they parse, call and print."""
