"""The part of scripts/bench recursion that runs inside scripts/with-airlock, as root."""
import os
import statistics
import subprocess
import sys
import time

CLIENT, ROUNDS, PACKAGES = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
SHELL, NIX = os.environ["AIRLOCK_SHELL"], os.environ["AIRLOCK_NIX"]
ADDED = 500

# How a builder gets to a daemon, and what its derivation and its build need for that.
SIDES = {
    "airlock": ('requiredSystemFeatures = [ "airlock" ];', [],
                ". /nix/var/airlock/env; export AIRLOCK_SOCKET=/nix/var/nix/daemon-socket/socket"),
    "relay": ("", ["--option", "extra-sandbox-paths", "/nix/var"],
              "export HOME=$TMPDIR NIX_REMOTE=unix:///nix/var/hole/socket AIRLOCK_SOCKET=/nix/var/hole/socket"),
    "recursive-nix": ('requiredSystemFeatures = [ "recursive-nix" ];', [],
                      "export HOME=$TMPDIR AIRLOCK_SOCKET=${NIX_REMOTE#unix://}"),
}
# The same commands on every side. The build is asked for by a client of our own, as newer Nix clients read a .drv back
# from the store, where a relay does not put it.
WORK = {
    "nothing": "echo nothing >$out",
    "one build": "$client build $(nix-instantiate $set --argstr tag $name --arg count 1) && echo built >$out",
    f"{ADDED} derivations": f"nix-instantiate $set --argstr tag $name --arg count {ADDED} | wc -l >$out",
}
SET = """{ tag, count }:
let shell = builtins.storePath "%s"; in builtins.genList (number: derivation {
  name = "added-${tag}-${toString number}"; system = builtins.currentSystem; builder = "${shell}/bin/sh";
  args = [ "-c" "echo ${toString number} >$out" ];
}) count
""" % SHELL


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} failed: {done.stderr}")
    return done.stdout.strip()


def timed(*command):
    started = time.perf_counter()
    said = run(*command)
    return (time.perf_counter() - started) * 1000, said


def outer(name, script, attributes=""):
    """A derivation of that name that runs the script with Nix and a shell; its path."""
    with open(f"{name}.nix", "w") as file:
        file.write(f"""derivation {{
  name = "{name}"; system = builtins.currentSystem; shell = builtins.storePath "{SHELL}"; nix = builtins.storePath "{NIX}";
  builder = "{SHELL}/bin/sh"; PATH = "{NIX}/bin:{SHELL}/bin"; client = builtins.storePath "{CLIENT}"; set = ./set.nix;
  args = [ "-euc" ''{script}'' ]; {attributes}
}}""")
    return run("nix-instantiate", f"{name}.nix")


def escaped(script):
    return script.replace("''", "'''").replace("${", "''${")


def measure(work, side, turn):
    attributes, options, prelude = SIDES[side]
    name = f"{side}-{work}-{turn}".replace(" ", "-")
    drv = outer(name, escaped(prelude + "\n" + WORK[work]), attributes)
    return timed("nix-store", "--realise", drv, *options)[0]


def end_to_end():
    times = {(work, side): [] for work in WORK for side in SIDES}
    for turn in range(ROUNDS + 1):  # the first one warms up
        order = list(SIDES)[turn % len(SIDES):] + list(SIDES)[:turn % len(SIDES)]
        for work in WORK:
            for side in order:
                took = measure(work, side, turn)
                if turn > 0:
                    times[work, side].append(took)
    middle = {key: statistics.median(values) for key, values in times.items()}
    print("\nfrom the request to build the outer derivation to its end, ms: median (lowest)")
    print(f"{'':>17} " + " ".join(f"{side:>18}" for side in SIDES) + f" {'airlock/relay':>14} {'airlock/rec.-nix':>17}")
    for work in WORK:
        cells = " ".join(f"{middle[work, side]:>9.1f} ({min(times[work, side]):>6.1f})" for side in SIDES)
        ratios = [middle[work, "airlock"] / middle[work, side] for side in ("relay", "recursive-nix")]
        print(f"{work:>17} {cells} {ratios[0]:>14.2f} {ratios[1]:>17.2f}", flush=True)
    print("\nwhere it goes, ms")
    for what, work, share in (("a build without recursion", "nothing", 1), ("the inner build", "one build", 1),
                              ("each derivation", f"{ADDED} derivations", ADDED)):
        base = 0 if work == "nothing" else 1
        cells = " ".join(f"{(middle[work, side] - base * middle['nothing', side]) / share:>18.3f}" for side in SIDES)
        print(f"{what:>25} {cells}", flush=True)


GENERATOR = """derivation {
  name = "generated-%(tag)s"; system = builtins.currentSystem; builder = "%(shell)s/bin/sh"; PATH = "%(shell)s/bin";
  shell = builtins.storePath "%(shell)s";
  args = [ "-euc" ''
    { echo "["
      n=0
      while [ $n -lt %(packages)d ]; do
        n=$((n + 1))
        echo "(derivation { name = \\"package-%(tag)s-$n\\"; system = builtins.currentSystem; builder = \\"$shell/bin/sh\\";"
        echo "  shell = builtins.storePath \\"$shell\\"; args = [ \\"-c\\" \\"echo $n >\\$out\\" ]; })"
      done
      echo "]"; } >$out '' ];
}
"""


def generator(tag):
    return GENERATOR % {"tag": tag, "shell": SHELL, "packages": PACKAGES}


def by_ifd(tag):
    """A derivation that needs all packages, which the evaluation outside imports."""
    return f"""let packages = import ({generator(tag)}); in derivation {{
  name = "all-{tag}"; system = builtins.currentSystem; builder = "{SHELL}/bin/sh"; shell = builtins.storePath "{SHELL}";
  args = [ "-c" "echo ''${{toString packages}} >$out" ]; }}""".replace("''$", "$")


def by_recursion(side):
    def expression(tag):
        attributes, _, prelude = SIDES[side]
        script = escaped(prelude + "\nnix-build --no-out-link $generated >$out")
        return f"""derivation {{
  name = "all-{tag}"; system = builtins.currentSystem; builder = "{SHELL}/bin/sh"; generated = {generator(tag)};
  shell = builtins.storePath "{SHELL}"; nix = builtins.storePath "{NIX}"; PATH = "{NIX}/bin:{SHELL}/bin";
  args = [ "-euc" ''{script}'' ]; {attributes} }}"""
    return expression


# A way is the expression for a tag, the options to build it with, and how often the set is evaluated: the first time,
# and when all is built. What memoises evaluations goes here.
WAYS = {
    "import-from-derivation": (by_ifd, [], (1, 1)),
    "raw relay": (by_recursion("relay"), SIDES["relay"][1], (1, 0)),
    "airlock": (by_recursion("airlock"), [], (1, 0)),
}


def is_valid(path):
    return subprocess.run(["nix-store", "--check-validity", path], capture_output=True).returncode == 0


def package_set(way, turn):
    """Milliseconds of the evaluation outside, of everything, and of everything once more; whether the evaluation had
    to build. None where the way does not work."""
    expression, options, _ = WAYS[way]
    tag = f"{way}-{turn}".replace(" ", "-")
    with open("generator.nix", "w") as file:
        file.write(generator(tag))
    generated = run("nix-store", "--query", "--outputs", run("nix-instantiate", "generator.nix"))
    with open("all.nix", "w") as file:
        file.write(expression(tag))
    evaluation, _ = timed("nix-instantiate", "all.nix")
    blocks = is_valid(generated)
    try:
        build, _ = timed("nix-build", "--no-out-link", "all.nix", *options)
    except RuntimeError as error:
        return str(error).strip().splitlines()[-1]
    again, _ = timed("nix-build", "--no-out-link", "all.nix", *options)
    return evaluation, evaluation + build, again, blocks


def package_sets():
    found = {way: [] for way in WAYS}
    for turn in range(ROUNDS):
        for way in WAYS:
            found[way].append(package_set(way, turn))
    print(f"\na generated set of {PACKAGES} packages, ms (medians)")
    print(f"{'':>23} {'evaluation':>11} {'in all':>8} {'once more':>10} {'evaluations':>12}  evaluation builds")
    for way, rows in found.items():
        broken = [row for row in rows if isinstance(row, str)]
        if broken:
            print(f"{way:>23} does not work with this Nix: {broken[0].strip()}")
            continue
        evaluation, whole, again = (statistics.median(row[i] for row in rows) for i in range(3))
        first, second = WAYS[way][2]
        print(f"{way:>23} {evaluation:>11.0f} {whole:>8.0f} {again:>10.0f} {f'{first}, then {second}':>12}  "
              f"{'yes: it blocks' if rows[0][3] else 'no'}", flush=True)


def main():
    with open("set.nix", "w") as file:
        file.write(SET)
    end_to_end()
    package_sets()


if __name__ == "__main__":
    main()
