"""The named suites of runs that the book's figures come from (chapter 8)."""
