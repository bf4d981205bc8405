"""A receiver of webhooks that verifies them with Standard Webhooks' own library. Says its port, then a line a request."""

import json
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

from standardwebhooks import Webhook, WebhookVerificationError


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        try:
            event = Webhook(sys.argv[1]).verify(body, dict(self.headers.items()))
            status, said = 204, {"id": self.headers["webhook-id"], "type": event["type"]}
        except WebhookVerificationError as error:
            status, said = 401, {"refused": str(error)}
        # Before the answer: whoever has that may look for this.
        print(json.dumps(said), flush=True)
        self.send_response(status)
        self.end_headers()

    def log_message(self, *arguments):
        pass


server = HTTPServer(("127.0.0.1", 0), Receiver)
print(server.server_port, flush=True)
server.serve_forever()
