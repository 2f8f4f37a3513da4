# shellcheck shell=bash
# install_packages: brings in what scripts/lib/packages lists, and asks apt only when something is missing.

wanted_packages() { sed -e 's/#.*//' -e '/^[[:space:]]*$/d' "$checkout/scripts/lib/packages" | sort -u; }

missing_packages() {
  local wanted
  mapfile -t wanted < <(wanted_packages)
  # dpkg-query fails when it does not know a name; what it does know it prints all the same.
  { dpkg-query --show --showformat '${db:Status-Status} ${Package}\n' "${wanted[@]}" 2>/dev/null || true; } |
    sed -n 's/^installed //p' | sort -u | comm -13 - <(printf '%s\n' "${wanted[@]}")
}

install_packages() {
  local missing
  mapfile -t missing < <(missing_packages)
  [ ${#missing[@]} -gt 0 ] || return 0
  require_root "Debian packages have to be installed: ${missing[*]}"
  say "installing ${#missing[@]} Debian packages: ${missing[*]}"
  local apt=(apt-get -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0)
  export DEBIAN_FRONTEND=noninteractive
  "${apt[@]}" update >&2 || say "the package lists could not be updated, going on with those that are there"
  "${apt[@]}" install --yes --no-install-recommends "${missing[@]}" >&2 ||
    die "apt-get could not install: ${missing[*]}"
}
