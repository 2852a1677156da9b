"""Client of an offramp server: one file, Python 3.9 or later, no dependencies.

    import offramp
    with offramp.Client("127.0.0.1:7070") as client:
        print(client.classify("Who wrote Hamlet?", top=3).label_name)
        for answer in client.map(["Where is Oslo?", "How far is the moon?"]):
            print(answer.label_name, answer.exit, answer.score)

A request that the server is too busy for is sent again, after the time the server names and to the less
busy of two servers drawn at random where several were given, as long as its deadline lasts. Requests are
idempotent, so one whose connection broke is sent again too. From a shell:

    python3 offramp.py 127.0.0.1:7070 "Who wrote Hamlet?"
"""

import collections
import json
import random
import socket
import struct
import sys
import time

VERSION = 1
HEADER = struct.Struct("<4sBBHQII")
INFER = struct.Struct("<BBHHHfI")
VERDICT = struct.Struct("<IffIIHHQ")
FAILURE = struct.Struct("<HHI")
PAIR = struct.Struct("<If")

MAGIC = b"OFRP"
KIND_INFER, KIND_PING, KIND_READY, KIND_METADATA, KIND_STATS, KIND_DRAIN, KIND_RELOAD = 1, 2, 3, 4, 5, 6, 7
KIND_VERDICT, KIND_FAILURE, KIND_PONG, KIND_DONE, KIND_JSON = 0x81, 0x82, 0x83, 0x84, 0x85
PHASES = ("early", "final", "confirm", "correct")
STATUSES = {
    1: "overloaded", 2: "deadline_expired", 3: "too_large", 4: "bad_input", 5: "not_ready",
    6: "device_failed", 7: "shutting_down", 8: "unsupported",
}
WORTH_A_RETRY = {"overloaded", "not_ready", "device_failed", "shutting_down"}
#: Behind a balancer the next connection may reach another replica.
ENDS_CONNECTION = {"device_failed", "shutting_down"}
ANY_SITE = 0xFFFF
PAYLOAD_BYTES_MAX = 64 << 20


class Error(Exception):
    """The server could not answer: `status` says why, by name."""

    def __init__(self, status, message, retry_after_s=0.0):
        super().__init__(f"{status}: {message}")
        self.status, self.message, self.retry_after_s = status, message, retry_after_s


#: `exit` is the site that answered, None for the model's own head; `top` lists (class, probability). `labels` are the names
#: that hold, of a model whose labels do not exclude each other; `value` is the number, of a model that gives one. `truncated`
#: says whether a text lost tokens, where `tell_cut=True` asked for it.
Answer = collections.namedtuple(
    "Answer",
    "phase label label_name score exit depth queue_us compute_us threshold_version top "
    "labels value truncated")


def infer_frame(request, value, *, top=0, exits=True, two_phase=False, tell_cut=False, shallowest=None,
                deepest=None, score_floor=0.0, deadline_s=None):
    """The bytes of an infer request: of a str, a pair of str, a list of token ids, or the bytes of an image."""
    if isinstance(value, str):
        kind, extent, body = 0, 0xFFFFFFFF, value.encode()
    elif isinstance(value, tuple):
        first = value[0].encode()
        kind, extent, body = 0, len(first), first + value[1].encode()
    elif isinstance(value, (bytes, bytearray)):
        kind, extent, body = 2, 0, bytes(value)
    else:
        kind, extent, body = 1, len(value), struct.pack(f"<{len(value)}I", *value)
    site = lambda number: ANY_SITE if number is None else number
    head = INFER.pack(kind, top, site(shallowest), site(deepest), 0, score_floor, extent)
    flags = (0 if exits else 1) | (2 if two_phase else 0) | (4 if tell_cut else 0)
    deadline_us = 0 if deadline_s is None else max(1, int(deadline_s * 1e6))
    return header(KIND_INFER, request, len(head) + len(body), flags, deadline_us) + head + body


def header(kind, request, payload_bytes, flags=0, deadline_us=0):
    return HEADER.pack(MAGIC, VERSION, kind, flags, request, deadline_us, payload_bytes)


class Connection:
    """One connection: frames out, frames in, whichever come first."""

    def __init__(self, address, timeout_s):
        host, _, port = address.rpartition(":")
        self.address = address
        self.socket = socket.create_connection((host.strip("[]") or "localhost", int(port)), timeout=timeout_s)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.reader = self.socket.makefile("rb")
        self.requests = 0
        #: What a caller waits for, by request.
        self.sent = {}
        self.labels, self.task = [], "classes"
        try:
            metadata = json.loads(self.ask(KIND_METADATA))
            self.labels, self.task = metadata.get("labels", []), metadata.get("task", "classes")
        except BaseException:
            self.close()
            raise

    def next_request(self):
        self.requests += 1
        return self.requests

    def ask(self, kind, payload=b""):
        """Sends a request that is no inference and waits for its reply."""
        request = self.next_request()
        self.socket.sendall(header(kind, request, len(payload)) + payload)
        found, reply = self.receive()
        if found != request:
            raise ConnectionError(f"a reply to request {found}, expected {request}")
        if isinstance(reply, Error):
            raise reply
        return reply

    def receive(self):
        """The next reply: its request, and an Answer, an Error or bytes."""
        magic, version, kind, flags, request, _, length = HEADER.unpack(self.read(HEADER.size))
        if magic != MAGIC or version != VERSION or length > PAYLOAD_BYTES_MAX:
            raise ConnectionError(f"{self.address} does not speak version {VERSION} of this protocol")
        payload = self.read(length)
        if kind == KIND_VERDICT:
            return request, self.answer(flags, payload)
        if kind == KIND_FAILURE:
            status, _, retry_after_ms = FAILURE.unpack_from(payload)
            message = payload[FAILURE.size:].decode()
            return request, Error(STATUSES.get(status, str(status)), message, retry_after_ms / 1e3)
        return request, payload

    def answer(self, flags, payload):
        label, score, depth, queue_us, compute_us, site, top, version = VERDICT.unpack_from(payload)
        pairs = list(PAIR.iter_unpack(payload[VERDICT.size:VERDICT.size + top * PAIR.size]))
        name, labels, value = self.name(label), None, None
        if self.task == "labels":
            labels = [self.name(held) for held, probability in pairs if probability > 0.5]
        elif self.task in ("value", "score"):
            value = pairs[0][1]
        left = None if site == ANY_SITE else site
        return Answer(PHASES[flags & 3], label, name, score, left, depth, queue_us, compute_us, version, pairs, labels,
                      value, bool(flags & 4))

    def name(self, label):
        return self.labels[label] if label < len(self.labels) else str(label)

    def read(self, count):
        data = self.reader.read(count)
        if len(data) < count:
            raise ConnectionError(f"{self.address} closed the connection")
        return data

    def close(self):
        self.reader.close()
        self.socket.close()


class Client:
    """Talks to one server, or to the less busy of several. For one thread; calls may be nested."""

    def __init__(self, *addresses, timeout_s=30.0, tries=10):
        if not addresses:
            raise ValueError("no address: give \"host:port\"")
        self.addresses, self.timeout_s, self.tries = addresses, timeout_s, tries
        #: By address: connections that owe nothing.
        self.free = {address: [] for address in addresses}
        #: By address: replies that are waited for.
        self.owed = dict.fromkeys(addresses, 0)
        #: By address: when it is worth asking again.
        self.rest_until = dict.fromkeys(addresses, 0.0)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        for connections in self.free.values():
            while connections:
                connections.pop().close()

    def classify(self, value, **options):
        """The answer to one input; raises Error."""
        return next(self.map([value], **options))

    def two_phase(self, value, **options):
        """Yields the early answer, then what the full model says; one final answer where no ramp was sure."""
        connection = self.idle()
        request = connection.next_request()
        self.expect(connection, request, None)
        try:
            connection.socket.sendall(infer_frame(request, value, two_phase=True, **options))
            while connection.sent:
                found, reply = connection.receive()
                if found != request:
                    raise ConnectionError(f"a reply to request {found}, expected {request}")
                if isinstance(reply, Error) or reply.phase != "early":
                    self.got(connection, request)
                if isinstance(reply, Error):
                    raise reply
                yield reply
        finally:
            self.give(connection)

    def map(self, values, in_flight=64, **options):
        """Answers in the order of the inputs, up to `in_flight` requests at a time on each connection;
        raises the first Error."""
        if "two_phase" in options:
            raise TypeError("map and classify give one answer to each input: see two_phase()")
        work = Work(self, list(values), in_flight, options)
        try:
            yield from work.answers()
        finally:
            for connection in work.connections.values():
                self.give(connection)

    def expect(self, connection, request, index):
        """A reply is owed."""
        connection.sent[request] = index
        self.owed[connection.address] += 1

    def got(self, connection, request):
        """It is not any more; gives what it was expected for."""
        if request not in connection.sent:
            raise ConnectionError(f"a reply to request {request}, which nobody waits for")
        self.owed[connection.address] -= 1
        return connection.sent.pop(request)

    def choose(self):
        """Of two drawn at random the one that may be asked sooner, then the one that owes less."""
        drawn = random.sample(self.addresses, min(2, len(self.addresses)))
        now = time.monotonic()
        return min(drawn, key=lambda one: (max(self.rest_until[one], now), self.owed[one]))

    def rest(self, address, seconds=0.1):
        self.rest_until[address] = time.monotonic() + seconds

    def take(self, address):
        """A connection for one caller."""
        if self.free[address]:
            return self.free[address].pop()
        try:
            return Connection(address, self.timeout_s)
        except OSError:
            self.rest(address)
            raise

    def idle(self):
        """A connection to whoever rests least."""
        address = self.choose()
        time.sleep(max(0.0, self.rest_until[address] - time.monotonic()))
        return self.take(address)

    def give(self, connection, broken=False):
        """It is used no more: kept, unless something is still owed on it."""
        self.owed[connection.address] -= len(connection.sent)
        if broken or connection.sent:
            connection.sent.clear()
            connection.close()
        else:
            self.free[connection.address].append(connection)

    def ask(self, kind):
        """Asks what is no inference."""
        connection = self.idle()
        try:
            reply = connection.ask(kind)
        except Error as error:
            self.give(connection, broken=error.status in ENDS_CONNECTION)
            raise
        except BaseException:
            self.rest(connection.address)
            self.give(connection, broken=True)
            raise
        self.give(connection)
        return reply

    def metadata(self):
        """What model the server runs, as a dict."""
        return json.loads(self.ask(KIND_METADATA))

    def stats(self):
        """Requests by their end, as a dict."""
        return json.loads(self.ask(KIND_STATS))

    def ready(self):
        """Whether a server takes work."""
        try:
            self.ask(KIND_READY)
            return True
        except (Error, OSError):
            return False

    def drain(self):
        """Tells a server that takes orders to answer what it has accepted, and to end."""
        self.ask(KIND_DRAIN)

    def reload(self):
        """Tells a server that takes orders to load ramps and thresholds again; raises Error where it cannot."""
        self.ask(KIND_RELOAD)


class Work:
    """The inputs of one map, on connections of its own."""

    def __init__(self, client, values, in_flight, options):
        self.client, self.values, self.in_flight = client, values, in_flight
        self.deadline_s = options.pop("deadline_s", None)
        self.options = options
        self.connections = {}
        self.waiting = collections.deque(range(len(values)))
        self.done, self.failures, self.began = {}, [0] * len(values), {}

    def answers(self):
        for index in range(len(self.values)):
            while index not in self.done:
                self.send()
                self.receive()
            yield self.done.pop(index)

    def send(self):
        """Sends what waits, as far as there is room."""
        frames = collections.defaultdict(list)
        while self.waiting:
            address = self.client.choose()
            connection = self.connections.get(address)
            is_full = connection is not None and len(connection.sent) >= self.in_flight
            if is_full or self.client.rest_until[address] > time.monotonic():
                break
            try:
                if connection is None:
                    connection = self.connections[address] = self.client.take(address)
            except OSError as error:
                self.fail(self.waiting[0], Error("not_ready", str(error)))
                continue
            index, request = self.waiting.popleft(), connection.next_request()
            frame = infer_frame(request, self.values[index], deadline_s=self.left_s(index), **self.options)
            self.client.expect(connection, request, index)
            frames[address].append(frame)
        for address, parts in frames.items():
            try:
                self.connections[address].socket.sendall(b"".join(parts))
            except OSError as error:
                self.lose(address, error)

    def left_s(self, index):
        """What is left of an input's deadline, which runs on between its tries."""
        if self.deadline_s is None:
            return None
        began = self.began.setdefault(index, time.monotonic())
        return max(1e-6, self.deadline_s - (time.monotonic() - began))

    def receive(self):
        """Takes a reply from whoever owes the first input; where nobody owes any, waits until one may be
        asked."""
        owing = [address for address, connection in self.connections.items() if connection.sent]
        if not owing:
            time.sleep(max(0.0, min(self.client.rest_until.values()) - time.monotonic()))
            return
        address = min(owing, key=lambda one: min(self.connections[one].sent.values()))
        connection = self.connections[address]
        try:
            request, reply = connection.receive()
            index = self.client.got(connection, request)
        except OSError as error:
            self.lose(address, error)
            return
        if not isinstance(reply, Error):
            self.done[index] = reply
            return
        self.client.rest(address, reply.retry_after_s)
        self.waiting.append(index)
        self.fail(index, reply)
        if reply.status in ENDS_CONNECTION:
            self.lose(address, reply)

    def lose(self, address, error):
        """The connection broke: what it owed is asked again."""
        connection = self.connections.pop(address)
        lost = list(connection.sent.values())
        self.client.give(connection, broken=True)
        self.client.rest(address)
        self.waiting.extend(lost)
        for index in lost:
            self.fail(index, Error("not_ready", str(error)))

    def fail(self, index, error):
        self.failures[index] += 1
        is_late = self.deadline_s is not None and self.left_s(index) <= 1e-6
        if error.status not in WORTH_A_RETRY or self.failures[index] >= self.client.tries or is_late:
            raise error


def shown(answer):
    """What was decided, in a word."""
    if answer.labels is not None:
        return "+".join(answer.labels) or "none"
    return answer.label_name if answer.value is None else f"{answer.value:.4f}"


def main(arguments):
    if len(arguments) < 2:
        sys.exit("usage: offramp.py HOST:PORT[,HOST:PORT..] TEXT..")
    with Client(*arguments[0].split(",")) as client:
        try:
            for text, answer in zip(arguments[1:], client.map(arguments[1:])):
                left = "the end" if answer.exit is None else f"site {answer.exit}"
                print(f"{shown(answer)}\t{answer.score:.3f}\t{left}\t{text}")
        except Error as error:
            sys.exit(f"error: {error}")


if __name__ == "__main__":
    main(sys.argv[1:])
