"""What a job needs: seconds and memory, from its settings and the size of its images."""
