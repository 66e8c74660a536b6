"""Values every layer shares: decimals, times and identifiers."""
