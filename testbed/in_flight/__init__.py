"""Random changes while runs go on: none of them may end as a failure."""
