"""Scripts that install and update the extension, and the releases that they belong to."""
