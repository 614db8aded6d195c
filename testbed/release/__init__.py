"""What is published: locked dependencies, and the artefacts of one release."""
