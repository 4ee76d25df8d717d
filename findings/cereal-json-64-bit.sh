#!/bin/bash
# Cereal 1.3.2 (Debian 12: libcereal-dev), JSON archives: two integers of 64 bits, two JSON types.
# `unsigned long` is written as a number, `unsigned long long` as a text, and reading one as the other throws. uint64_t is the
# former on Linux and the latter on macOS and Windows, so that the same program writes files there which it refuses here.
# Needs: Debian 12, apt-get, g++.
set -euo pipefail
version=1.3.2+dfsg-4
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
apt-get download -q "libcereal-dev=$version" >/dev/null 2>&1
dpkg -x libcereal-dev_*.deb root
cat > try.cpp <<'CPP'
#include <cereal/archives/json.hpp>
#include <iostream>
#include <sstream>

template <class T>
struct record {
  T n = 7;
  template <class Archive>
  void serialize(Archive& ar) { ar(CEREAL_NVP(n)); }
};

template <class From, class To>
void try_one(const char* name) {
  static_assert(sizeof(From) == 8 && sizeof(To) == 8);
  std::ostringstream text;
  {
    cereal::JSONOutputArchive out(text, cereal::JSONOutputArchive::Options::NoIndent());
    out(cereal::make_nvp("r", record<From>{}));
  }
  auto line = text.str();
  std::erase(line, '\n');
  std::cout << name << ": " << line << ", read back: ";
  try {
    std::istringstream in(line);
    cereal::JSONInputArchive ar(in);
    record<To> back;
    ar(cereal::make_nvp("r", back));
    std::cout << back.n << "\n";
  } catch (const std::exception& e) {
    std::cout << "throws\n";
  }
}

int main() {
  try_one<unsigned long, unsigned long>("long as long");
  try_one<unsigned long, unsigned long long>("long as long long");
  try_one<unsigned long long, unsigned long>("long long as long");
}
CPP
g++ -std=c++20 -isystem root/usr/include try.cpp -o try
./try | tee seen
cat > expected <<'TEXT'
long as long: {"r": {"n": 7}}, read back: 7
long as long long: {"r": {"n": 7}}, read back: throws
long long as long: {"r": {"n": "7"}}, read back: throws
TEXT
diff expected seen && echo "as it was: Cereal $version"
