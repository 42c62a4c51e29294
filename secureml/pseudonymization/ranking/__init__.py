"""From ranks to permuted ranks: mixed radix, chunks, threads and cycle walking."""
