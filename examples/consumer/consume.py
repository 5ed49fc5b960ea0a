#!/usr/bin/env python3
"""Folds runproof's topic of events to what the contract holds, in a SQLite file.

Entries, and where to read on, are stored in one transaction, so a crash at any point loses and doubles nothing. Each message carries its position:
one seen before is dropped, and one that is missing is told, whatever happened between the relay and here.
"""

import argparse
import json
import sqlite3
import sys
import time

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

SCHEMA = """
-- What is folded, and how far.
create table if not exists topic (id integer primary key check (id = 1), name text not null, position integer not null);
-- Where to read on.
create table if not exists read_on (partition integer primary key, next_offset integer not null, position integer not null);
-- Entries that wait for one before them, from a partition that is ahead of another.
create table if not exists inbox (position integer primary key, entry text not null);
-- Entries that stand: what was taken back is gone.
create table if not exists entry (position integer primary key, event text not null, origin text not null);
"""

# What the contract holds is what the standing entries say: there is nothing else to keep in step with them.
FOLDED = {
    "models": "select e ->> 'issuer' issuer, e ->> 'model' model, o ->> 'block_number' block_number from standing where kind = 'model_registered'",
    "instances": """
        select i.e ->> 'issuer' issuer, i.e ->> 'instance' instance, i.e ->> 'model' model, i.e ->> 'ordinal' ordinal,
               t.e ->> 'outcome' outcome, t.e ->> 'head' head
        from standing i left join standing t on t.kind = 'instance_terminated' and t.e ->> 'issuer' = i.e ->> 'issuer' and t.e ->> 'instance' = i.e ->> 'instance'
        where i.kind = 'instance_registered'""",
    "states": """
        select e ->> 'issuer' issuer, e ->> 'instance' instance, e ->> 'sequence' sequence, e ->> 'state' state, e ->> 'predecessor' predecessor
        from standing where kind = 'state_registered'""",
    # States that the chain does not tell: the issuer's site serves the leaves of these roots.
    "roots": """
        select e ->> 'issuer' issuer, e ->> 'instance' instance, e ->> 'first' first, e ->> 'count' count, e ->> 'root' root
        from standing where kind = 'states_root_registered'""",
    "certificates": """
        select b.e ->> 'subject' subject, b.e ->> 'fingerprint' fingerprint, 
               (select min(r.e ->> 'from_block') from standing r where r.kind = 'certificate_revoked' and r.e ->> 'subject' = b.e ->> 'subject'
                and coalesce(r.e ->> 'fingerprint', b.e ->> 'fingerprint') = b.e ->> 'fingerprint') revoked_from_block
        from standing b where b.kind = 'certificate_bound'""",
    # The newest word counts: SQLite takes the other columns from the row that has the maximum.
    "delegates": """
        select e ->> 'issuer' issuer, e ->> 'instance' instance, e ->> 'delegate' delegate, e ->> 'allowed' allowed, max(position) position
        from standing where kind = 'delegate_set' group by 1, 2, 3""",
    "participants": """
        select e ->> 'issuer' issuer, e ->> 'instance' instance, e ->> 'participant' participant, e ->> 'allowed' allowed, max(position) position
        from standing where kind = 'participant_set' group by 1, 2, 3""",
    "participations": """
        select e ->> 'issuer' issuer, e ->> 'instance' instance, e ->> 'participant' participant, e ->> 'accepted' accepted, max(position) position
        from standing where kind = 'participation_set' group by 1, 2, 3""",
    "guardians": """
        select e ->> 'subject' subject, e ->> 'guardian' guardian, max(position) position from standing where kind = 'guardian_set' group by 1""",
    "requests": """
        select e ->> 'issuer' issuer, e ->> 'instance' instance, e ->> 'participant' participant, e ->> 'sequence' sequence, position
        from standing where kind = 'transition_requested' order by position""",
    # What stands at or below these blocks is safe or final.
    "levels": """
        select kind, max(o ->> 'block_number') block_number from standing where kind in ('block_safe', 'block_finalized') group by kind""",
}


class Broken(Exception):
    """The topic does not tell what a journal tells."""


class Fold:
    """What was read so far."""

    def __init__(self, path, topic):
        self.db = sqlite3.connect(path, isolation_level=None)
        self.db.executescript("pragma journal_mode = wal; pragma synchronous = full;" + SCHEMA)
        self.db.execute("insert or ignore into topic values (1, ?, 0)", (topic,))
        (name,) = self.db.execute("select name from topic").fetchone()
        if name != topic:
            raise Broken(f"{path} holds topic {name}: name another file for {topic}")

    @property
    def position(self):
        """Last entry that was applied."""
        return self.db.execute("select position from topic").fetchone()[0]

    def next_offset(self, partition):
        """Where to read on."""
        row = self.db.execute("select next_offset from read_on where partition = ?", (partition,)).fetchone()
        return row[0] if row else OFFSET_BEGINNING

    def take(self, messages, partitions):
        """Stores messages, what follows from them, and where to read on: all or nothing."""
        self.db.execute("begin immediate")
        try:
            for message in messages:
                self._receive(message)
            self._apply()
            self._check_for_gap(partitions)
            self.db.execute("commit")
        except BaseException:
            self.db.execute("rollback")
            raise

    def _receive(self, message):
        position = int(dict(message.headers())["ce_position"])
        # A position that is known already adds nothing.
        if position > self.position:
            self.db.execute("insert or ignore into inbox values (?, ?)", (position, message.value().decode()))
        self.db.execute(
            "insert into read_on values (?, ?, ?) on conflict (partition) do update set next_offset = excluded.next_offset, position = max(position, excluded.position)",
            (message.partition(), message.offset() + 1, position),
        )

    def _apply(self):
        """Applies what follows the last position without a gap."""
        last = position = self.position
        while row := self.db.execute("delete from inbox where position = ? returning entry", (position + 1,)).fetchone():
            position += 1
            self._apply_entry(position, json.loads(row[0]))
        if position > last:
            self.db.execute("update topic set position = ?", (position,))

    def _apply_entry(self, position, entry):
        if entry["position"] != position:
            raise Broken(f"entry {entry['position']} has the header of position {position}")
        told = (json.dumps(entry["event"]), json.dumps(entry["origin"]))
        if entry["retraction"] is None:
            self.db.execute("insert into entry values (?, ?, ?)", (position, *told))
            return
        taken = (entry["retraction"]["position"],)
        standing = self.db.execute("delete from entry where position = ? returning *", taken).fetchone()
        if standing != taken + told:
            raise Broken(f"entry {position} takes back {taken + told}, but what stands there is {standing}")

    def _check_for_gap(self, partitions):
        """Within a partition positions grow: an entry that every partition has passed does not come any more."""
        rows = self.db.execute("select position from read_on").fetchall()
        if len(rows) == partitions and min(rows)[0] > self.position:
            raise Broken(f"gap: position {self.position + 1} is not in the topic")

    def waiting(self):
        """Entries that cannot be applied yet."""
        return self.db.execute("select count(*) from inbox").fetchone()[0]

    def folded(self):
        """What the contract holds, as JSON."""
        self.db.row_factory = sqlite3.Row
        standing = "with standing as (select position, event ->> 'kind' kind, event e, origin o from entry) "
        tables = {name: [dict(row) for row in self.db.execute(standing + query)] for name, query in FOLDED.items()}
        return {"position": self.position, **tables}


def partitions_of(consumer, topic, wait):
    """Numbers of the topic's partitions; `wait`s for a relay that has not made the topic yet."""
    while True:
        metadata = consumer.list_topics(topic, timeout=30).topics[topic]
        if metadata.partitions:
            return list(metadata.partitions)
        if not wait or metadata.error.code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
            raise Broken(f"topic {topic}: {metadata.error}")
        time.sleep(1)


def consume(fold, consumer, topic, batch, once):
    """Reads on for ever, or with `once` until nothing is left to read."""
    partitions = partitions_of(consumer, topic, wait=not once)
    consumer.assign([TopicPartition(topic, number, fold.next_offset(number)) for number in partitions])
    at_end = set()
    while not (once and len(at_end) == len(partitions) and not fold.waiting()):
        messages = []
        for message in consumer.consume(batch, timeout=0.2):
            if message.error() is None:
                messages.append(message)
                at_end.discard(message.partition())
            elif message.error().code() == KafkaError._PARTITION_EOF:
                at_end.add(message.partition())
            else:
                raise KafkaException(message.error())
        if messages:
            fold.take(messages, len(partitions))
            print(f"position {fold.position}", flush=True)


def main():
    """The command line."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--bootstrap", default="127.0.0.1:9092")
    arguments.add_argument("--topic", default="runproof.events")
    arguments.add_argument("--state", default="runproof.sqlite", help="file that keeps what was read")
    arguments.add_argument("--batch", type=int, default=500, help="messages stored at a time, at most")
    arguments.add_argument("--once", action="store_true", help="end at the topic's end")
    arguments.add_argument("--show", action="store_true", help="print what the contract holds, by what was read so far, and end")
    arguments.add_argument("-X", dest="options", action="append", default=[], metavar="NAME=VALUE", help="setting of librdkafka, such as security.protocol=ssl")
    given = arguments.parse_args()
    try:
        fold = Fold(given.state, given.topic)
        if given.show:
            print(json.dumps(fold.folded(), indent=2))
            return
        consumer = Consumer({
            "bootstrap.servers": given.bootstrap,
            "group.id": "runproof-example",  # asked for by librdkafka; the file, not the group, knows where to read on
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "error",  # a topic that lost what was not read yet is an error, not a new beginning
            **dict(option.split("=", 1) for option in given.options),
        })
        consume(fold, consumer, given.topic, given.batch, given.once)
    except (Broken, KafkaException) as error:
        sys.exit(f"consume.py: {error}")
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
