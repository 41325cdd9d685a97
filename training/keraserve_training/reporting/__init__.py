"""What the runs showed: the report, the document of results, the ranges to expect."""
