"""What a child process can do: each job names one of these functions, `(JobContext) -> JobResult`."""
