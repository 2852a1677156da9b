"""Tests of the client against a server of the shipped question model: test_offramp.py HOST:PORT"""

import pathlib
import sys
import time
import unittest

import offramp

ROOT = pathlib.Path(__file__).resolve().parents[2]
ADDRESS = "127.0.0.1:7070"


class Frames(unittest.TestCase):
    def test_bytes_are_those_committed(self):
        golden = dict(line.split(": ") for line in
                      (ROOT / "engine/protocol/src/golden.txt").read_text().splitlines())
        pair = offramp.infer_frame(9, ("a", "b"), top=2, exits=False, two_phase=True, tell_cut=True,
                                   shallowest=1, deepest=4, score_floor=0.5, deadline_s=0.1)
        self.assertEqual(offramp.infer_frame(9, "Who wrote Hamlet?").hex(), golden["infer text"])
        self.assertEqual(pair.hex(), golden["infer pair, all options"])
        self.assertEqual(offramp.infer_frame(9, bytes([0, 127, 255])).hex(), golden["infer image"])
        for kind in ("ready", "metadata", "stats", "drain", "reload"):
            frame = offramp.header(getattr(offramp, f"KIND_{kind.upper()}"), 9, 0)
            self.assertEqual(frame.hex(), golden[kind])


class Served(unittest.TestCase):
    def setUp(self):
        self.client = offramp.Client(ADDRESS)
        self.addCleanup(self.client.close)

    def test_answers_come_in_order(self):
        texts = ["Who wrote Hamlet?", "How many feet are in a mile?", "Where is Oslo?"] * 100
        names = [answer.label_name for answer in self.client.map(texts)]
        self.assertEqual(names, ["HUM", "NUM", "LOC"] * 100)

    def test_a_text_that_was_cut_is_told_to_whoever_asks(self):
        long = "who wrote Hamlet " * 40
        self.assertTrue(self.client.classify(long, tell_cut=True).truncated)
        self.assertFalse(self.client.classify("who wrote Hamlet", tell_cut=True).truncated)
        self.assertFalse(self.client.classify(long).truncated)
        self.assertTrue(all(answer.truncated for answer in self.client.two_phase(long, tell_cut=True)))

    def test_many_inputs_over_two_connections(self):
        texts = ["Who wrote Hamlet?", "How many feet are in a mile?", "Where is Oslo?"] * 500
        with offramp.Client(ADDRESS, ADDRESS.replace("127.0.0.1", "localhost")) as client:
            owed = []
            names = []
            for answer in client.map(texts, in_flight=8):
                owed.append(sum(client.owed.values()))
                names.append(answer.label_name)
            self.assertEqual(names, ["HUM", "NUM", "LOC"] * 500)
            self.assertLessEqual(max(owed), 16)
            self.assertGreater(sum(owed) / len(owed), 4, "sending and taking take turns")

    def test_a_map_may_be_left_halfway(self):
        self.assertEqual(next(self.client.map(["Where is Oslo?"] * 50)).label_name, "LOC")
        self.assertEqual(self.client.classify("Who wrote Hamlet?").label_name, "HUM")
        next(self.client.map(["Where is Oslo?"] * 50))
        self.assertTrue(self.client.ready())

    def test_calls_may_be_nested(self):
        names = []
        for answer in self.client.map(["Where is Oslo?", "Who wrote Hamlet?"] * 40, in_flight=8):
            names.append(answer.label_name)
            if len(names) % 20 == 0:
                self.assertIn("ended", self.client.stats())
                self.assertEqual(self.client.classify("How many feet are in a mile?").label_name, "NUM")
        self.assertEqual(names, ["LOC", "HUM"] * 40)
        self.assertEqual(sum(self.client.owed.values()), 0)

    def test_two_phases_may_be_left_halfway(self):
        first = self.client.two_phase("Who wrote Hamlet?")
        self.assertEqual(next(first).phase, "early")
        early, last = self.client.two_phase("Where is Oslo?")
        self.assertEqual([early.label_name, last.label_name], ["LOC", "LOC"])
        first.close()
        self.assertEqual(self.client.classify("Where is Oslo?").label_name, "LOC")
        self.assertEqual(sum(self.client.owed.values()), 0)
        with self.assertRaises(TypeError):
            self.client.classify("Where is Oslo?", two_phase=True)

    def test_a_deadline_runs_on_between_tries(self):
        with offramp.Client("127.0.0.1:1", tries=1000) as client:
            began = time.monotonic()
            with self.assertRaises(offramp.Error):
                client.classify("Where is Oslo?", deadline_s=0.3)
            self.assertLess(time.monotonic() - began, 20)

    def test_orders_are_refused_where_they_are_not_taken(self):
        for order in (self.client.drain, self.client.reload):
            with self.assertRaises(offramp.Error) as caught:
                order()
            self.assertEqual(caught.exception.status, "unsupported")

    def test_two_phases(self):
        early, last = self.client.two_phase("Who wrote Hamlet?")
        self.assertEqual((early.phase, last.phase, last.exit), ("early", "confirm", None))

    def test_options(self):
        answer = self.client.classify("Who wrote Hamlet?", exits=False, top=2)
        self.assertEqual((answer.exit, answer.depth, len(answer.top)), (None, 1.0, 2))

    def test_refusals(self):
        for value, status in [([99_999_999], "bad_input"), (b"image", "bad_input"), ([1] * 999, "too_large")]:
            with self.assertRaises(offramp.Error) as caught:
                self.client.classify(value)
            self.assertEqual(caught.exception.status, status)

    def test_a_dead_server_is_left_for_a_live_one(self):
        with offramp.Client("127.0.0.1:1", ADDRESS) as client:
            for _ in range(10):
                self.assertEqual(client.classify("Where is Oslo?").label_name, "LOC")

    def test_it_tells_about_itself(self):
        self.assertTrue(self.client.ready())
        self.assertEqual(self.client.metadata()["model"], "trec-questions")
        self.assertIn("ended", self.client.stats())


if __name__ == "__main__":
    if len(sys.argv) > 1:
        ADDRESS = sys.argv.pop(1)
    unittest.main()
