"""What the end-to-end tests are made of: certificates, scripted origins, a resolver, a strict client and the edge."""
