"""Which heads carry relations between words, beside what distance alone explains."""
