"""The service and its page: pictures come in over HTTP, answers go out, nothing is kept."""
