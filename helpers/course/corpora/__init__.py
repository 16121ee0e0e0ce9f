"""What becomes of the fetched texts: rated sentences, and a manual."""
