"""Next to correct: the objects, planes and images a network was least sure of."""
