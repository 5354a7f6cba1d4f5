"""Reports: a job's outcome as figures, as a page and as a document for programs."""
