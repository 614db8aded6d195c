"""`python -m benchmarks`: all of them, on the test cluster."""

from benchmarks.dns_from_all_pods import main

if __name__ == "__main__":
    main()
