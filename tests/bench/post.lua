-- wrk: posts a body of the size of a webhook's.
wrk.method = "POST"
wrk.body = '{"id": 12345, "name": "Customer 12345", "city": "Sometown"}'
wrk.headers["Content-Type"] = "application/json"
