"""A mail server for tests, made of aiosmtpd: smtp_server.py PORT FOLDER [CERTIFICATE KEY USER PASSWORD]

It listens on 127.0.0.1 and writes what it takes into the folder, a file for each mail. With a certificate it takes nothing
before STARTTLS and a sign-in by that user and password. While the folder has a file `closed`, it takes nothing from anyone.
What it makes of a recipient stands before the @, or before a + there: `refused` is refused for good, `busy` for now, `grey`
for now the first time, `foreign` because nobody may send there, `vague` without a reason, and of `hang` nothing is said. The
mail to `slow` is taken once the folder has a file `go-on`, after the one to `mute` it goes without a word, who sent one to
`stay` hears no goodbye, and everyone else is taken.
"""

import asyncio
import pathlib
import ssl
import sys
import uuid

from aiosmtpd.smtp import SMTP, AuthResult


class Handler:
    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.seen = set()

    async def handle_MAIL(self, server, session, envelope, address, options):
        if (self.folder / "closed").exists():
            return "550 5.7.1 Nobody may send from here"
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_RCPT(self, server, session, envelope, address, options):
        name = session.recipient = address.split("@")[0].split("+")[0]
        if name == "refused":
            return "550 5.1.1 There is no such mailbox"
        if name == "foreign":
            return "554 5.7.1 Relay access denied"
        if name == "vague":
            return "550 relay not permitted"
        if name == "busy" or (name == "grey" and address not in self.seen):
            self.seen.add(address)
            return "451 4.3.0 Try again later"
        if name == "hang":
            await asyncio.Event().wait()
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        while session.recipient == "slow" and not (self.folder / "go-on").exists():
            await asyncio.sleep(0.02)
        written = self.folder / f"{uuid.uuid4()}.part"
        written.write_bytes(envelope.content)
        written.rename(written.with_suffix(".eml"))
        if session.recipient == "mute":
            server.transport.abort()
            await asyncio.Event().wait()
        return "250 OK"

    async def handle_QUIT(self, server, session, envelope):
        if getattr(session, "recipient", None) == "stay":
            await asyncio.Event().wait()
        return "221 Bye"


async def serve(port, folder, certificate=None, key=None, user=None, password=None):
    options = {}
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        known = (user.encode(), password.encode())

        def authenticate(server, session, envelope, mechanism, data):
            # Not handled: the server itself says no.
            return AuthResult(success=(data.login, data.password) == known, handled=False)

        options = {
            "tls_context": context,
            "require_starttls": True,
            "auth_required": True,
            "authenticator": authenticate,
        }
    handler = Handler(folder)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: SMTP(handler, hostname="localhost", loop=loop, **options), "127.0.0.1", int(port)
    )
    await server.serve_forever()


asyncio.run(serve(*sys.argv[1:]))
