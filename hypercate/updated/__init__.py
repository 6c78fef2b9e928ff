"""What a fitted model learns from further rows of arms that it knows."""
