"""The functions that a child process can run. Each job names one of them, `(JobContext) -> JobResult`."""
