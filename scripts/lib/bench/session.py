"""The part of scripts/bench session that runs inside scripts/with-airlock, as root."""
import hashlib
import os
import random
import shutil
import sqlite3
import statistics
import subprocess
import sys
import time

STORE, DATABASE = "/nix/store", "/nix/var/nix/db/db.sqlite"
DIGITS = "0123456789abcdfghijklmnpqrsvwxyz"
CLOSURES = (100, 1_000, 10_000, 100_000)
REPEATS, FAN_OUT, REFERENCES = 5, 5, 5
HOOKS = os.path.join(os.path.dirname(os.environ["AIRLOCK_BIN"]), "libexec/airlock")
HASH = "sha256:" + "0" * 64


def base(name):
    number = int.from_bytes(hashlib.sha256(name.encode()).digest()[:20], "big")
    text = ""
    for _ in range(32):
        number, digit = divmod(number, 32)
        text += DIGITS[digit]
    return f"{text}-{name}"


def generate(total):
    """A database with a tree of each closure's size, and for the rest paths that refer to each other.
    Returns the top of each tree."""
    for name in (DATABASE, DATABASE + "-wal", DATABASE + "-shm"):
        if os.path.exists(name):
            os.unlink(name)
    db = sqlite3.connect(DATABASE, isolation_level=None)
    db.executescript("""
        pragma journal_mode = wal; pragma synchronous = off;
        pragma cache_size = -800000; pragma foreign_keys = off;
        create table ValidPaths (id integer primary key autoincrement not null,
          path text unique not null, hash text not null, registrationTime integer not null,
          deriver text, narSize integer, ultimate integer, sigs text, ca text);
        create table Refs (referrer integer not null, reference integer not null,
          primary key (referrer, reference),
          foreign key (referrer) references ValidPaths(id) on delete cascade,
          foreign key (reference) references ValidPaths(id) on delete restrict);
        begin;""")
    rng = random.Random(1)
    order = list(range(1, total + 1))
    rng.shuffle(order)  # a closure is spread over the whole table, as in a real store
    tops, edges, at = {}, [], 0
    for size in CLOSURES:
        if at + size > total:
            break
        ids = order[at:at + size]
        tops[size] = ids[0]
        for k in range(size):
            edges += [(ids[k], ids[c]) for c in range(FAN_OUT * k + 1, FAN_OUT * k + 1 + FAN_OUT)
                      if c < size]
            if k + 1 < size:  # and some across
                edges += [(ids[k], ids[rng.randrange(k + 1, size)]) for _ in range(REFERENCES - 1)]
        at += size
    db.executemany("insert into ValidPaths (id, path, hash, registrationTime, narSize) values (?, ?, ?, 1, 1)",
                   ((i, f"{STORE}/{base(f'path-{i}')}", HASH) for i in range(1, total + 1)))
    rest = order[at:]
    edges += [(i, rest[rng.randrange(len(rest))]) for i in rest for _ in range(REFERENCES)]
    edges.sort()
    db.executemany("insert or ignore into Refs values (?, ?)", edges)
    db.execute("create index IndexReferrer on Refs(referrer)")
    db.execute("create index IndexReference on Refs(reference)")
    db.execute("commit")
    db.execute("pragma wal_checkpoint(truncate)")
    db.execute("select count(*) from ValidPaths").fetchone()
    return {size: f"{STORE}/{base(f'path-{top}')}" for size, top in tops.items()}, db


def derivation(name, inputs, feature=True):
    """Writes a .drv file, and its build folder as Nix would make it. Returns both paths."""
    drv = f"{STORE}/{base(name + '.drv')}"
    out = f"{STORE}/{base(name)}"
    sources = ",".join(f'"{path}"' for path in sorted(inputs))
    asks = ',("requiredSystemFeatures","airlock")' if feature else ""
    with open(drv, "w") as file:
        file.write(f'Derive([("out","{out}","","")],[],[{sources}],"x86_64-linux","/bin/sh",[],'
                   f'[("name","{name}"),("out","{out}"){asks}])')
    os.chmod(drv, 0o444)
    os.makedirs(drv + ".chroot", exist_ok=True)
    return drv, drv + ".chroot"


def milliseconds(call):
    started = time.perf_counter()
    call()
    return (time.perf_counter() - started) * 1000


def hook(program, drv, chroot, view):
    said = subprocess.run([program, drv, chroot], capture_output=True, text=True)
    if said.returncode != 0 or view != ("extra-sandbox-paths" in said.stdout):
        raise RuntimeError(f"the hook failed: {said.stdout}{said.stderr}")


def pid_of(service):
    return subprocess.run(["airlock-env", "pid-of", service], capture_output=True, text=True,
                          check=True).stdout.strip()


def processor_milliseconds():
    """What both services have used: unlike the clock it does not grow with what else runs here."""
    ticks = 0
    for service in ("fs", "mediator"):
        with open(f"/proc/{pid_of(service)}/stat") as file:
            ticks += sum(int(word) for word in file.read().rsplit(")", 1)[1].split()[11:13])
    return ticks * 1000 / os.sysconf("SC_CLK_TCK")


def resident(service):
    with open(f"/proc/{pid_of(service)}/status") as file:
        return int(next(line for line in file if line.startswith("VmRSS")).split()[1])


def services():
    return {name: resident(name) for name in ("fs", "mediator")}


def restart():
    for service in ("mediator", "fs"):
        subprocess.run(["airlock-env", f"stop-{service}"], check=True)
    for service in ("fs", "mediator"):
        subprocess.run(["airlock-env", f"start-{service}"], check=True, stderr=subprocess.DEVNULL)


def measure_closures(tops, label):
    program = HOOKS + "/pre-build-hook"
    print(f"\nopening a session, {label} (from the hook's start to its end; median of {REPEATS})")
    print(f"{'closure':>10} {'ms':>9} {'CPU ms':>7} {'µs a path':>10} {'airlock-fs KiB':>15} {'airlockd KiB':>13}")
    for size, top in tops.items():
        restart()
        warm = derivation(f"warm-{size}", [])
        hook(program, *warm, True)
        before, used = services(), processor_milliseconds()
        times = []
        for turn in range(REPEATS):
            drv, chroot = derivation(f"open-{label.split()[0]}-{size}-{turn}", [top])
            times.append(milliseconds(lambda d=drv, c=chroot: hook(program, d, c, True)))
        after, used = services(), (processor_milliseconds() - used) / REPEATS
        each = {name: (after[name] - before[name]) / REPEATS for name in after}
        middle = statistics.median(times)
        print(f"{size:>10} {middle:>9.1f} {used:>7.0f} {middle * 1000 / size:>10.1f} {each['fs']:>15.0f} "
              f"{each['mediator']:>13.0f}", flush=True)


def measure_quiet_hook():
    drv, chroot = derivation("quiet", [], feature=False)
    program = HOOKS + "/pre-build-hook"
    rounds = {"hook": [], "true": []}
    for _ in range(300):  # in turns, so that both have the same machine
        rounds["hook"].append(milliseconds(lambda: subprocess.run([program, drv, chroot])))
        rounds["true"].append(milliseconds(lambda: subprocess.run(["/bin/true", drv, chroot])))
    mine, its = (statistics.median(rounds[name]) for name in ("hook", "true"))
    print(f"\nthe hook of a derivation that does not ask: {mine:.2f} ms; /bin/true as the hook: "
          f"{its:.2f} ms; ratio {mine / its:.2f} (medians of 300, in turns)")


def measure_many(top, count=300):
    restart()
    program = HOOKS + "/pre-build-hook"
    hook(program, *derivation("first-of-many", [top]), True)
    before = services()
    started = time.perf_counter()
    for number in range(count):
        hook(program, *derivation(f"many-{number}", [top]), True)
    took = time.perf_counter() - started
    said = subprocess.run(["airlock", "status"], capture_output=True, text=True).stdout
    after = services()
    each = {name: (after[name] - before[name]) / count for name in after}
    print(f"\n{count} sessions open at once, closure 100: {took * 1000 / count:.1f} ms each to open; "
          f"memory of each: airlock-fs {each['fs']:.0f} KiB, airlockd {each['mediator']:.0f} KiB")
    print(said.strip())


def main():
    total = int(sys.argv[1])
    subprocess.run(["airlock-env", "stop-nix-daemon"], check=True)
    started = time.perf_counter()
    tops, kept = generate(total)
    print(f"a Nix database of {total:,} paths: {os.path.getsize(DATABASE) / 2**20:.0f} MiB, "
          f"made in {time.perf_counter() - started:.0f} s")
    measure_closures(tops, f"{total} paths in the store")
    measure_quiet_hook()
    measure_many(tops[100])
    kept.close()
    small = sum(size for size in CLOSURES if size <= 10_000)
    tops, kept = generate(small + 1000)
    measure_closures(tops, f"{small + 1000} paths in the store")
    kept.close()
    # What was generated is not a store that anything could go on with.
    for name in os.listdir(STORE):
        if name.endswith(".drv.chroot"):
            shutil.rmtree(f"{STORE}/{name}")


if __name__ == "__main__":
    main()
