#!/bin/sh
# Installs the named Debian packages where this is root on a machine with apt; else names what is missing.
# Nothing fails for want of them: the tests that need one skip and say so.
missing=""
for package in "$@"; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q "install ok installed" || missing="$missing $package"
done
[ -z "$missing" ] && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "installing$missing"
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing; } \
        >/dev/null 2>&1 || echo "could not install$missing: some tests will skip"
else
    echo "missing system packages (some tests will skip):$missing"
fi
exit 0
