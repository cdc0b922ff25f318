"""`mesh-top`: rows, board, columns, controls and view decide what is shown; probe, terminal and app perform."""
