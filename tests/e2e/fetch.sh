#!/usr/bin/env bash
# Locked fetches: what the lock files of a build's own derivation name comes from the network, fetched outside; nothing else.
. "$(dirname "$0")/lib.sh"

# A name server that is none of ours must not be asked, and git as root serves folders of root's.
export GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null
mkdir served
touch requests

make_certificate() {
  openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=airlock-test-ca -keyout ca.key -out ca.pem 2>/dev/null
  openssl req -newkey rsa:2048 -nodes -subj /CN=localhost -keyout server.key -out server.csr 2>/dev/null
  openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -out server.crt \
    -extfile <(echo 'subjectAltName=DNS:localhost,IP:127.0.0.1') 2>/dev/null
  cat server.key server.crt >server.pem
  install -m 0644 ca.pem /etc/airlock/test-ca.pem # /run is hidden from airlock-fetchd
}

serve() {
  rm -f port
  PATH=$PATH:/usr/lib/git-core python3 "$tests/fetch_server.py" served server.pem 2>server.log &
  server=$!
  eventually "the server listens" 20 test -s port
  port=$(cat port)
  url=https://localhost:$port
}

# configure FIXED-OUTPUT [LINE-OF-[fetch]]...
configure() {
  local policy=$1
  shift
  airlock-env stop-mediator
  airlock-env stop-fetch
  printf '%s\n' "fixed-output = \"$policy\"" '[fetch]' 'ca-file = "/etc/airlock/test-ca.pem"' "$@" >/etc/airlock/airlock.toml
  airlock-env start-mediator
  airlock-env start-fetch
}

# tree NAME TEXT: served/NAME.tar.gz with one folder at its top; its hash is in ${hash_of[NAME]}.
declare -A hash_of
tree() {
  mkdir -p "trees/$1/$1-1.0/sub"
  echo "$2" >"trees/$1/$1-1.0/hello"
  printf '#!/bin/sh\necho run\n' >"trees/$1/$1-1.0/sub/program"
  chmod 0755 "trees/$1/$1-1.0/sub/program"
  ln -s ../hello "trees/$1/$1-1.0/sub/link"
  tar -C "trees/$1" -czf "served/$1.tar.gz" "$1-1.0"
  hash_of[$1]=$(nix-hash --type sha256 --base32 "trees/$1/$1-1.0")
}

sri() { echo "sha256-$(nix-hash --type sha256 --to-base16 "$1" | xxd_r | base64 -w0)"; }
xxd_r() { python3 -c 'import sys; sys.stdout.buffer.write(bytes.fromhex(sys.stdin.read().strip()))'; }
source_path() { nix-store --print-fixed-path --recursive sha256 "$(nix-hash --type sha256 --to-base16 "$1")" source; }
asked() { grep -c -F "$1" requests 2>/dev/null || true; }

# is_ended NAME SENTENCE [PATH]: the build is ended for this reason, and the path was not added.
is_ended() {
  refuses "$1" build "$1"
  contains "its reason" "$2" "$output"
  printf '   it says: %s\n' "$(grep -m1 -F "$2" <<<"$output" | cut -c1-220)"
  if [ -n "${3-}" ]; then refuses "the path $3" nix-store --check-validity "$3"; fi
}

# fetches NAME ATTRIBUTES: NAME.nix evaluates its own `fetch` and reads what came.
fetches() {
  outer "$1" "fetch = ''$2''; ${3-}" <<'SCRIPT'
nix-instantiate --eval --read-write-mode -E "$fetch" >answer || die "it cannot be fetched"
tree=$(tr -d '"' <answer)
if [ -d "$tree" ]; then
  [ "$(ls -A $tree | tr '\n' ' ')" = 'hello sub ' ] && [ "$($tree/sub/program)" = run ] && [ -L $tree/sub/link ]
  content=$(cat $tree/hello)
else
  content=$(cat $tree)
fi
if echo x >$tree/new 2>/dev/null; then die "it can be written to"; fi
echo "$content from $tree" >$out
SCRIPT
}

make_certificate
serve
configure sealed 'allow-loopback = true'
tree first one
first=$(source_path "${hash_of[first]}")
tarball="builtins.fetchTarball { url = \\\"$url/first.tar.gz\\\"; sha256 = \\\"${hash_of[first]}\\\"; }"
tarball=${tarball//\\\"/\"}

step "without a lock: the client goes to the network, and there is none"
fetches unlocked-hash "$tarball"
refuses "a hash that is in no lock file" build unlocked-hash
contains "the client's own error" "unable to download" "$output"
contains "airlock says how to lock it" "no lock file of its derivation says where it comes from" "$output"
equal "requests" 0 "$(asked first)"

step "fetchTarball and fetchurl, locked by airlockLocks"
mkdir locks
cat >locks/own.json <<JSON
[{"url": "$url/first.tar.gz", "hash": "$(sri "${hash_of[first]}")", "unpack": true}]
JSON
fetches own-tarball "$tarball" 'airlockLocks = [ ./locks/own.json ];'
result=$(build own-tarball)
equal "content" "one from $first" "$(cat "$result")"
contains "the output refers to it" "$first" "$(references "$result")"
equal "requests" 1 "$(asked first)"
equal "the ledger" "allow fetch-locked" \
  "$(query "select verdict || ' ' || rule from operations where operation = 'Fetch' and subject like '%first%'")"

echo plain >served/plain.txt
flat=$(sha256sum served/plain.txt | cut -d' ' -f1)
echo "[{\"url\": \"$url/plain.txt\", \"hash\": \"sha256:$flat\"}]" >locks/flat.json
fetches own-file "builtins.fetchurl { url = \"$url/plain.txt\"; sha256 = \"$flat\"; }" 'airlockLocks = [ "${./locks}/flat.json" ];'
equal "a file" "plain from $(nix-store --print-fixed-path sha256 "$flat" plain.txt)" "$(cat "$(build own-file)")"

step "the host has it already: the same answer, and nobody is asked"
fetches present "$tarball" 'airlockLocks = [ ./locks/own.json ];'
equal "content" "one from $first" "$(cat "$(build present)")"
equal "requests" 1 "$(asked first)"

step "npins and niv"
tree pinned two
tree nived three
mkdir -p pins/npins niv/nix
cat >pins/npins/sources.json <<JSON
{"pins": {"thing": {"type": "Git", "repository": {"type": "GitHub", "owner": "o", "repo": "r"}, "branch": "main",
  "revision": "$(printf '1%.0s' {1..40})", "url": "$url/pinned.tar.gz", "hash": "${hash_of[pinned]}"}}, "version": 3}
JSON
cat >niv/nix/sources.json <<JSON
{"my thing": {"type": "tarball", "url": "$url/nived.tar.gz", "sha256": "${hash_of[nived]}"}}
JSON
fetches by-npins "builtins.fetchTarball { url = \"$url/pinned.tar.gz\"; sha256 = \"${hash_of[pinned]}\"; }" 'src = ./pins;'
contains "npins" "two from " "$(cat "$(build by-npins)")"
fetches by-niv "builtins.fetchTarball { name = \"my-thing-src\"; url = \"$url/nived.tar.gz\"; sha256 = \"${hash_of[nived]}\"; }" \
  'src = ./niv;'
contains "niv" "-my-thing-src" "$(cat "$(build by-niv)")"
echo 'ok: npins, niv'

step "flake inputs: tarball, git, github"
tree tar four
tree forge five
rev=$(printf '2%.0s' {1..40})
mkdir -p "served/api/v3/repos/owner/repo/tarball"
mv served/forge.tar.gz "served/api/v3/repos/owner/repo/tarball/$rev"
git init -q -b main repo
echo six >repo/hello
printf 'hello export-ignore\n' >repo/.gitattributes
git -C repo add .
git -C repo -c user.name=a -c user.email=a@a commit -qm one
git clone -q --bare repo served/git/repo
commit=$(git -C repo rev-parse HEAD)
rm -rf repo/.git
git_hash=$(sri "$(nix-hash --type sha256 --base32 repo)")
mkdir flake
cat >flake/flake.nix <<NIX
{
  inputs.tar = { url = "$url/tar.tar.gz"; flake = false; };
  inputs.repo = { url = "git+$url/git/repo"; flake = false; };
  inputs.forge = { type = "github"; host = "localhost:$port"; owner = "owner"; repo = "repo"; flake = false; };
  outputs = { self, tar, repo, forge }: {
    answer = builtins.concatStringsSep " " (map (input: builtins.readFile "\${input}/hello") [ tar repo forge ]);
    paths = "\${tar} \${repo} \${forge}";
    built = derivation {
      name = "built";
      system = "$(nix-instantiate --eval -E builtins.currentSystem | tr -d '"')";
      builder = "/bin/sh";
      args = [ "-c" "read line <\${tar}/hello; echo built from \$line >\$out" ];
    };
  };
}
NIX
cat >flake/flake.lock <<JSON
{"nodes": {
  "tar": {"flake": false, "locked": {"type": "tarball", "url": "$url/tar.tar.gz", "narHash": "$(sri "${hash_of[tar]}")"},
    "original": {"type": "tarball", "url": "$url/tar.tar.gz"}},
  "repo": {"flake": false, "locked": {"type": "git", "url": "$url/git/repo", "rev": "$commit", "revCount": 1, "lastModified": 1,
    "narHash": "$git_hash"}, "original": {"type": "git", "url": "$url/git/repo"}},
  "forge": {"flake": false, "locked": {"type": "github", "host": "localhost:$port", "owner": "owner", "repo": "repo", "rev": "$rev",
    "lastModified": 1, "narHash": "$(sri "${hash_of[forge]}")"},
    "original": {"type": "github", "host": "localhost:$port", "owner": "owner", "repo": "repo"}},
  "root": {"inputs": {"tar": "tar", "repo": "repo", "forge": "forge"}}}, "root": "root", "version": 7}
JSON
outer flakes 'src = ./flake;' <<'SCRIPT'
flake() { nix --extra-experimental-features 'nix-command flakes' "$@"; }
flake eval --no-write-lock-file --raw "path:$src#answer" >answer
flake eval --no-write-lock-file --raw "path:$src#paths" >paths
flake build --no-write-lock-file --out-link built "path:$src#built"
cat built
[ "$(cat built)" = "built from four" ] || die "an inner build has not got its input"
for path in $(cat paths); do [ -r $path/hello ] || die "$path cannot be read"; done
mkdir $out
cp answer paths $out
SCRIPT
result=$(build flakes)
equal "what the inputs hold" "four six five" "$(tr '\n' ' ' <"$result/answer" | tr -s ' ' | sed 's/ $//')"
for path in $(cat "$result/paths"); do contains "a reference" "$path" "$(references "$result")"; done

step "names beyond ASCII, composed and not, are the archive's own bytes, as with Nix"
mkdir -p trees/names/names-1.0/日本
echo accents >trees/names/names-1.0/grüße
echo sub >trees/names/names-1.0/日本/é
# names ARCHIVE: what is served under this name, and is in trees/names, is fetched as it is.
names() {
  local hash path
  hash=$(nix-hash --type sha256 --base32 trees/names/names-1.0)
  path=$(source_path "$hash")
  echo "[{\"url\": \"$url/$1\", \"hash\": \"sha256:$hash\", \"unpack\": true}]" >"locks/$1.json"
  outer "$1" "airlockLocks = [ ./locks/$1.json ];
    fetch = ''builtins.fetchTarball { url = \"$url/$1\"; sha256 = \"$hash\"; }'';" <<'SCRIPT'
nix-instantiate --eval --read-write-mode -E "$fetch" >answer || die "it cannot be fetched"
cat $(tr -d '"' <answer)/gr*e >$out
SCRIPT
  equal "$1" accents "$(cat "$(build "$1")")"
  equal "what is in it" "$(cd trees/names/names-1.0 && find . | LC_ALL=C sort)" "$(cd "$path" && find . | LC_ALL=C sort)"
}
(cd trees/names && python3 -m zipfile -c ../../served/names.zip names-1.0)
names names.zip
echo decomposed >trees/names/names-1.0/$'u\u0308'
(cd trees/names && python3 -m tarfile -c ../../served/names.tar names-1.0)
names names.tar
equal "Nix's own hash of it" "$(nix-hash --type sha256 --base32 trees/names/names-1.0)" \
  "$(nix-prefetch-url --unpack "file://$work/served/names.tar" 2>/dev/null)"

step "two clients at once: fetched once"
tree slow seven
echo "[{\"url\": \"$url/slow/slow.tar.gz\", \"hash\": \"sha256:${hash_of[slow]}\", \"unpack\": true}]" >locks/slow.json
outer twice "airlockLocks = [ ./locks/slow.json ];
  fetch = ''builtins.fetchTarball { url = \"$url/slow/slow.tar.gz\"; sha256 = \"${hash_of[slow]}\"; }'';" <<'SCRIPT'
one() { HOME=$PWD/$1 nix-instantiate --eval --read-write-mode -E "$fetch" >$1.path; }
mkdir a b
one a & one b
wait
cmp a.path b.path
cat a.path >$out
SCRIPT
build twice >/dev/null
equal "requests" 1 "$(asked /slow/)"

step "many fetches of one build: four at a time, and another build has its own meanwhile"
many='' entries=''
for number in {1..10}; do
  echo "content $number" >"served/many-$number"
  hash=$(sha256sum "served/many-$number" | cut -d' ' -f1)
  entries+="${entries:+,}{\"url\": \"$url/slow/many-$number\", \"hash\": \"sha256:$hash\"}"
  many+=" (builtins.fetchurl { url = \"$url/slow/many-$number\"; sha256 = \"$hash\"; })"
done
echo "[$entries]" >locks/many.json
outer many "airlockLocks = [ ./locks/many.json ]; fetches = ''$many'';" <<'SCRIPT'
for fetch in 1 2 3 4 5 6 7 8 9 10; do
  HOME=$PWD/$fetch nix-instantiate --eval --read-write-mode -E "builtins.elemAt [ $fetches ] $((fetch - 1))" >$fetch.path &
done
wait
for fetch in 1 2 3 4 5 6 7 8 9 10; do cat $(tr -d '"' <$fetch.path); done >$out
SCRIPT
echo content >served/other-slow
other=$(sha256sum served/other-slow | cut -d' ' -f1)
echo "[{\"url\": \"$url/other-slow\", \"hash\": \"sha256:$other\"}]" >locks/other.json
fetches other "builtins.fetchurl { url = \"$url/other-slow\"; sha256 = \"$other\"; }" 'airlockLocks = [ ./locks/other.json ];'
build many >many.result &
building=$!
all_asked() { [ "$(asked /slow/many-)" -ge 4 ]; }
eventually "four of them are under way" 60 all_asked
contains "another build's" "content from " "$(cat "$(build other)")"
wait "$building"
equal "what came" "$(for number in {1..10}; do echo "content $number"; done)" "$(cat "$(cat many.result)")"
[ "$(cat most-slow)" -le 4 ] || fail "$(cat most-slow) of them were under way at once"

step "what the build itself brings along locks nothing"
tree added eight
outer adds "lock = ''[{\"url\": \"$url/added.tar.gz\", \"hash\": \"sha256:${hash_of[added]}\", \"unpack\": true}]'';
  fetch = ''builtins.fetchTarball { url = \"$url/added.tar.gz\"; sha256 = \"${hash_of[added]}\"; }'';" <<'SCRIPT'
mkdir -p tree
echo "$lock" >tree/flake.lock
nix-store --add tree
! nix-instantiate --eval --read-write-mode -E "$fetch" || die "a tree that was added is believed"
echo done >$out
SCRIPT
build adds >/dev/null
equal "requests" 0 "$(asked added)"

step "unlocked: what the client says"
outer unlocked "fetch = ''builtins.fetchTarball \"https://host.invalid/first.tar.gz\"''; nixVersion = \"$(nix --version)\";" <<'SCRIPT'
! nix-instantiate --eval --read-write-mode -E "$fetch" >said 2>&1 || die "it was fetched"
mkdir $out
cp said /nix/var/airlock/env $out
SCRIPT
result=$(build unlocked)
tail -n 3 "$result/said"
if nix --version | grep -q ' 2\.2[0-9]'; then
  contains "the client says how to lock it" "airlock-fetches-only-what-is-locked" "$(cat "$result/said")"
else
  # This Nix prints curl's own words for the kind of failure, and none of the detail.
  contains "the client" "proxy" "$(cat "$result/said")"
fi
# What fetchGit runs, where there is no network, with what the view tells it.
refuses "git" unshare -n sh -c ". $result/env; git ls-remote https://host.invalid/repository"
contains "git says how to lock it" "airlock-fetches-only-what-is-locked" "$output"

step "bad input: a lock file that is not JSON"
echo 'not json' >locks/broken.json
fetches not-json "$tarball" 'airlockLocks = [ ./locks/broken.json ];'
refuses "it" build not-json
contains "the reason" "this is no lock file, as it is not JSON" "$output$(cat "$AIRLOCK_LOGS/nix-daemon.log")"
mkdir harmless
echo 'not json' >harmless/flake.lock
fetches only-a-name "$tarball" 'src = ./harmless; airlockLocks = [ ./locks/own.json ];'
equal "a source that only happens to have such a file" "one from $first" "$(cat "$(build only-a-name)")"
contains "airlockd's log" "passed over as a lock file" "$(cat "$AIRLOCK_LOGS/airlockd.log")"

# bad NAME URL [HASH]: a locked tarball that cannot come to anything; its path is $bad.
bad() {
  local hash=${3:-$(echo "$1" | sha256sum | cut -d' ' -f1)}
  bad=$(nix-store --print-fixed-path --recursive sha256 "$hash" source)
  echo "[{\"url\": \"$2\", \"hash\": \"sha256:$hash\", \"unpack\": true}]" >"locks/$1.json"
  fetches "$1" "builtins.fetchTarball { url = \"$2\"; sha256 = \"$hash\"; }" "airlockLocks = [ ./locks/$1.json ]; ${4-}"
}

step "bad input: hash, redirects, archives"
bad mismatch "$url/first.tar.gz"
is_ended mismatch "is not what its lock says" "$bad"
bad other-scheme "$url/redirect?to=http://localhost:$port/first.tar.gz"
is_ended other-scheme "another scheme" "$bad"
bad local-file "$url/redirect?to=file:///etc/passwd"
is_ended local-file "another scheme" "$bad"
bad link-local "$url/redirect?to=https://169.254.169.254/latest"
is_ended link-local "169.254.169.254, a link-local address" "$bad"
bad http-lock "http://localhost:$port/first.tar.gz"
is_ended http-lock "fetch-scheme" "$bad"
configure sealed 'allow-loopback = true' 'max-bytes = 8388608'
mkdir -p trees/huge/huge-1.0
head -c 64M /dev/zero >trees/huge/huge-1.0/zeros
tar -C trees/huge -czf served/huge.tar.gz huge-1.0
bad huge "$url/huge.tar.gz"
is_ended huge "holds more than 8388608 bytes" "$bad"
configure sealed 'allow-loopback = true' 'max-memory = 33554432'
tar -C trees/huge -c huge-1.0 | xz -9 >served/dictionary.tar.xz
hash_of[dictionary]=$(nix-hash --type sha256 --base32 trees/huge/huge-1.0)
bad dictionary "$url/dictionary.tar.xz" "$(nix-hash --type sha256 --to-base16 "${hash_of[dictionary]}")"
is_ended dictionary "raise fetch.max-memory" "$bad"
configure sealed 'allow-loopback = true'
outer dictionary-fits "airlockLocks = [ ./locks/dictionary.json ];
  fetch = ''builtins.fetchTarball { url = \"$url/dictionary.tar.xz\"; sha256 = \"${hash_of[dictionary]}\"; }'';" <<'SCRIPT'
nix-instantiate --eval --read-write-mode -E "$fetch" >$out
SCRIPT
equal "with the memory that there is by default" "\"$(source_path "${hash_of[dictionary]}")\"" "$(cat "$(build dictionary-fits)")"
configure sealed 'allow-loopback = true' 'max-bytes = 8388608'
cp trees/huge/huge-1.0/zeros served/huge.tar
bad huge-download "$url/huge.tar"
is_ended huge-download "larger than 8388608 bytes" "$bad"
python3 - <<'PYTHON'
import io, tarfile
with tarfile.open("served/escape.tar", "w") as tar:
    for name in ("top/ok", "top/../../escaped"):
        entry = tarfile.TarInfo(name)
        entry.size = 1
        tar.addfile(entry, io.BytesIO(b"x"))
PYTHON
bad escape "$url/escape.tar"
is_ended escape "leads out of the archive" "$bad"
equal "nothing is left of any of them" "" "$(ls /var/cache/airlock-fetch)"

step "bad input: git"
# no_git NAME URL: what is locked is a git repository that is not there.
no_git() {
  local hash
  hash=$(echo "$1" | sha256sum | cut -d' ' -f1)
  echo "[{\"url\": \"git+$2\", \"hash\": \"sha256:$hash\"}]" >"locks/$1.json"
  fetches "$1" "builtins.fetchTarball { url = \"$url/$1\"; sha256 = \"$hash\"; }" "airlockLocks = [ ./locks/$1.json ];"
}
no_git no-repository "$url/git/none?rev=$commit"
is_ended no-repository "cannot fetch git+$url/git/none?rev=$commit: git says 'repository '$url/git/none/' not found'; correct the URL"
no_git no-revision "$url/git/repo?rev=$rev"
is_ended no-revision "cannot fetch git+$url/git/repo?rev=$rev: the repository has no such revision; correct it in its lock"

step "loopback only by configuration"
configure sealed
tree loopback nine
bad loopback "$url/loopback.tar.gz" "$(nix-hash --type sha256 --to-base16 "${hash_of[loopback]}")"
is_ended loopback "an address of this machine itself" "$bad"
configure sealed 'allow-loopback = true'
contains "once allowed" "nine from $bad" "$(cat "$(build loopback)")"

step "http, file and path only by configuration"
tree plain ten
tree local eleven
mkdir /var/lib/airlock-test # /run, where this runs, is hidden from airlock-fetchd
cp served/local.tar.gz /var/lib/airlock-test/
cp -r trees/local/local-1.0 /var/lib/airlock-test/folder
# by_scheme NAME URL HASH SCHEME CONTENT: refused without the scheme, fetched with it.
by_scheme() {
  bad "$1" "$2" "$(nix-hash --type sha256 --to-base16 "$3")"
  is_ended "$1" "fetch-scheme" "$bad"
  configure sealed 'allow-loopback = true' "schemes = [\"https\", \"$4\"]"
  contains "$4, once allowed" "$5 from $bad" "$(cat "$(build "$1")")"
  configure sealed 'allow-loopback = true'
}
by_scheme by-http "http://localhost:$(cat plain-port)/plain.tar.gz" "${hash_of[plain]}" http ten
by_scheme by-file file:///var/lib/airlock-test/local.tar.gz "${hash_of[local]}" file eleven
# Only a flake names a folder; to have the hash of another tree than the file's it needs another content.
echo twelve >/var/lib/airlock-test/folder/hello
folder=$(nix-hash --type sha256 --base32 /var/lib/airlock-test/folder)
mkdir flake-of-path
cat >flake-of-path/flake.nix <<'NIX'
{
  inputs.tree = { url = "path:/var/lib/airlock-test/folder"; flake = false; };
  outputs = { self, tree }: { answer = builtins.readFile "${tree}/hello"; };
}
NIX
cat >flake-of-path/flake.lock <<JSON
{"nodes": {"tree": {"flake": false,
    "locked": {"type": "path", "path": "/var/lib/airlock-test/folder", "lastModified": 1, "narHash": "$(sri "$folder")"},
    "original": {"type": "path", "path": "/var/lib/airlock-test/folder"}},
  "root": {"inputs": {"tree": "tree"}}}, "root": "root", "version": 7}
JSON
outer by-path 'src = ./flake-of-path;' <<'SCRIPT'
nix --extra-experimental-features 'nix-command flakes' eval --no-write-lock-file --raw "path:$src#answer" >$out
SCRIPT
is_ended by-path "fetch-scheme" "$(source_path "$folder")"
configure sealed 'allow-loopback = true' 'schemes = ["https", "path"]'
equal "path, once allowed" twelve "$(cat "$(build by-path)")"
configure sealed 'allow-loopback = true'

step "closed and open"
bad shut "$url/first.tar.gz?shut" "" 'airlockFixedOutput = "closed";'
refuses "it" build shut
contains "the rule" "fixed-output-closed" "$output"
equal "requests" 0 "$(asked '?shut')"
configure open 'allow-loopback = true'
bad caught "$url/missing.tar.gz"
outer caught "airlockLocks = [ ./locks/caught.json ];
  fetch = ''builtins.fetchTarball { url = \"$url/missing.tar.gz\"; sha256 = \"$(echo caught | sha256sum | cut -d' ' -f1)\"; }'';" <<'SCRIPT'
! nix-instantiate --eval --read-write-mode -E "$fetch" 2>said || die "it was fetched"
cat said >&2
grep -q "cannot fetch .*404" said || die "the reason is not told"
echo went on >$out
SCRIPT
equal "an ordinary failure" "went on" "$(cat "$(build caught)")"
configure sealed 'allow-loopback = true'
outer caught-sealed "airlockLocks = [ ./locks/caught.json ];
  fetch = ''builtins.fetchTarball { url = \"$url/missing.tar.gz\"; sha256 = \"$(echo caught | sha256sum | cut -d' ' -f1)\"; }'';" <<'SCRIPT'
nix-instantiate --eval --read-write-mode -E "$fetch" || true
echo went on >$out
SCRIPT
is_ended caught-sealed "404" "$bad"

step "who fetches"
pid=$(airlock-env pid-of fetch)
equal "its user" "$(id -u airlock-fetch)" "$(sed -n 's/^Uid:[[:space:]]*\([0-9]*\).*/\1/p' "/proc/$pid/status")"
equal "its capabilities" 0000000000000000 "$(sed -n 's/^CapPrm:[[:space:]]*//p' "/proc/$pid/status")"
equal "no_new_privs" 1 "$(sed -n 's/^NoNewPrivs:[[:space:]]*//p' "/proc/$pid/status")"
# The same user in the same mounts.
beside() { nsenter --mount="/proc/$pid/ns/mnt" setpriv --reuid airlock-fetch --regid airlock-fetch --clear-groups --no-new-privs "$@"; }
equal "what it sees of Nix's state" "" "$(beside ls -A /nix/var/nix)"
equal "what it sees of /run" "" "$(beside ls -A /run)"
equal "what it sees of the ledger" "" "$(beside ls -A /var/lib/airlock)"
refuses "to take the cover off" beside unshare -Urm umount /nix/var/nix
refuses "the socket, to another user" setpriv --reuid nobody --regid nogroup --clear-groups \
  /usr/bin/python3 -c 'import socket; socket.socket(socket.AF_UNIX).connect("/run/airlock-fetch/socket")'
contains "the reason" PermissionError "$output"
airlock-env stop-fetch
bad nobody-fetches "$url/first.tar.gz?nobody"
is_ended nobody-fetches "start it with \`systemctl start airlock-fetchd\`" "$bad"
airlock-env start-fetch

kill "$server"
settled
store_is_clean
