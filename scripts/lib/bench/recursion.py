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
    """Milliseconds, and all that it said."""
    started = time.perf_counter()
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    took = (time.perf_counter() - started) * 1000
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} failed: {done.stdout}")
    return took, done.stdout


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
    { echo "builtins.trace \\"evaluated\\" ["
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


# A way is the expression for a tag, and the options to build it with. What memoises evaluations goes here.
WAYS = {
    "import-from-derivation": (by_ifd, []),
    "raw relay": (by_recursion("relay"), SIDES["relay"][1]),
    "airlock": (by_recursion("airlock"), []),
}


def is_valid(path):
    return subprocess.run(["nix-store", "--check-validity", path], capture_output=True).returncode == 0


def evaluate_and_build(options):
    """Milliseconds of the evaluation outside and of everything, and how often the set was evaluated anywhere."""
    evaluation, said = timed("nix-instantiate", "all.nix")
    drv = said.strip().splitlines()[-1]
    blocked = is_valid(run("nix-store", "--query", "--outputs", run("nix-instantiate", "generator.nix")))
    build, log = timed("nix-store", "--realise", drv, *options)
    return evaluation, evaluation + build, (said + log).count("trace: evaluated"), blocked


def package_set(way, turn):
    """Both rounds of one way, the second with everything built; or what failed."""
    expression, options = WAYS[way]
    tag = f"{way}-{turn}".replace(" ", "-")
    for name, text in (("generator.nix", generator(tag)), ("all.nix", expression(tag))):
        with open(name, "w") as file:
            file.write(text)
    try:
        return evaluate_and_build(options), evaluate_and_build(options)
    except RuntimeError as error:
        return next((line for line in str(error).splitlines() if "error:" in line), str(error))


def package_sets():
    found = {way: [] for way in WAYS}
    for turn in range(ROUNDS):
        for way in WAYS:
            found[way].append(package_set(way, turn))
    print(f"\na generated set of {PACKAGES} packages, ms (medians)")
    print(f"{'':>23} {'evaluation':>11} {'in all':>8} {'once more':>10} {'evaluations of it':>18}  evaluation outside builds")
    for way, rows in found.items():
        broken = [row for row in rows if isinstance(row, str)]
        if broken:
            print(f"{way:>23} does not work with this Nix: {broken[0].strip()}", flush=True)
            continue
        evaluation, whole = (statistics.median(first[i] for first, _ in rows) for i in range(2))
        again = statistics.median(second[1] for _, second in rows)
        counts = f"{rows[0][0][2]}, then {rows[0][1][2]}"
        print(f"{way:>23} {evaluation:>11.0f} {whole:>8.0f} {again:>10.0f} {counts:>18}  "
              f"{'yes: it blocks' if rows[0][0][3] else 'no'}", flush=True)


# N derivations that want the same expression: the list of the derivations of FIXTURE, generated so that the way by import has
# something to import, and so that no derivation of it is there from another turn.
FIXTURE = os.path.join(os.path.dirname(__file__), "../../../tests/fixtures/packages/default.nix")
WANTING, WANTED = 6, 1000


def expression_of(tag):
    return f"""derivation {{ name = "set-{tag}"; system = builtins.currentSystem; builder = "{SHELL}/bin/sh"; PATH = "{SHELL}/bin";
  shell = builtins.storePath "{SHELL}"; packages = {FIXTURE};
  args = [ "-euc" "sed 's/=package-/={tag}-/' $packages >$out" ]; }}"""


def all_by_ifd(tag, numbers):
    """A list of those that want it, which share one evaluation."""
    return f"""let
  set = import ({expression_of(tag)}) {{ shell = "{SHELL}"; count = {WANTED}; }};
  paths = map (package: builtins.unsafeDiscardOutputDependency package.drvPath) set.all;
in map (number: derivation {{
  name = "wants-{tag}-${{toString number}}"; system = builtins.currentSystem; builder = "{SHELL}/bin/sh"; inherit paths;
  shell = builtins.storePath "{SHELL}"; args = [ "-euc" "echo $paths >$out" ];
}}) [ {" ".join(map(str, numbers))} ]"""


def all_inside(prelude):
    script = escaped(f"{SIDES['airlock'][2]}{prelude}\n"
                     f"nix-instantiate $set --argstr shell $shell --arg count {WANTED} -A all >$out")
    return lambda tag, numbers: f"""map (number: derivation {{
  name = "wants-{tag}-${{toString number}}"; system = builtins.currentSystem; builder = "{SHELL}/bin/sh";
  set = {expression_of(tag)}; shell = builtins.storePath "{SHELL}"; nix = builtins.storePath "{NIX}";
  PATH = "{NIX}/bin:{SHELL}/bin"; args = [ "-euc" ''{script}'' ]; {SIDES["airlock"][0]}
}}) [ {" ".join(map(str, numbers))} ]"""


SHARING = {
    "import-from-derivation": all_by_ifd,
    "airlock": all_inside(""),
    "airlock, remembered": all_inside("; export PATH=/nix/var/airlock/bin:$PATH"),
}


def build_wanting(text):
    with open("wanting.nix", "w") as file:
        file.write(text)
    return timed("nix-build", "--no-out-link", "wanting.nix")[0]


def same_expression():
    """Both ways in which they come: from one command, and each from a command of its own."""
    together, first, other = ({way: [] for way in SHARING} for _ in range(3))
    for turn in range(max(3, ROUNDS // 3)):
        for place, (way, expression) in enumerate(SHARING.items()):
            together[way].append(build_wanting(expression(f"turn{turn}way{place}", range(WANTING))))
            alone = [build_wanting(expression(f"alone{turn}way{place}", [number])) for number in range(WANTING)]
            first[way].append(alone[0])
            other[way].append(statistics.mean(alone[1:]))
    print(f"\n{WANTING} derivations that want the list of the same {WANTED} derivations, ms (medians)")
    print(f"{'':>23} {'one command':>12} {'one each: the first':>20} {'each other':>11} {'÷ the first':>12}")
    for way in SHARING:
        whole, one, more = (statistics.median(times[way]) for times in (together, first, other))
        print(f"{way:>23} {whole:>12.0f} {one:>20.0f} {more:>11.0f} {more / one:>12.2f}", flush=True)


def main():
    with open("set.nix", "w") as file:
        file.write(SET)
    end_to_end()
    same_expression()
    package_sets()


if __name__ == "__main__":
    main()
