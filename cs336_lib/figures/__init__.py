"""All plots of the book: plain data in, a matplotlib Figure out."""
