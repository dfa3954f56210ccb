"""Lesions that look alike: a labelled collection as embeddings, and the search for its nearest lesions."""
