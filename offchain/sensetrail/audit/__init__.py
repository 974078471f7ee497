"""The audit: replays the way from the chain's events to the model's weights, step by step."""
