#include "net/base/shortage.hpp"

#include "net/base/bad_input.hpp"
#include "net/base/descriptor.hpp"
#include "net/formats/number_file.hpp"
#include "net/sources/source_table.hpp"
#include "recording_sink.hpp"
#include "rgbd_files.hpp"
#include "shm_name.hpp"
#include "tests/support/segment_bytes.hpp"
#include "want.hpp"

#include <catch2/catch.hpp>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <future>
#include <mutex>
#include <new>
#include <optional>
#include <string>
#include <system_error>
#include <thread>

using namespace tessera;
using testing::no_descriptors;
using testing::recording_sink;
using testing::rgbd_files;
using testing::segment_bytes;
using testing::shm_name;

namespace {

/// A port at which connections are taken, and nobody says anything.
class silent_port {
public:
  silent_port() : file_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in any{};
    any.sin_family = AF_INET;
    any.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t bytes = sizeof any;
    REQUIRE(::bind(file_.get(), reinterpret_cast<sockaddr*>(&any), bytes) == 0);
    REQUIRE(::listen(file_.get(), 16) == 0);
    REQUIRE(::getsockname(file_.get(), reinterpret_cast<sockaddr*>(&any), &bytes) == 0);
    number = ntohs(any.sin_port);
  }
  int number = 0;

private:
  descriptor file_;
};

} // namespace

TEST_CASE("what is wanting is told from what is bad") {
  CHECK(is_shortage(std::system_error(EMFILE, std::generic_category(), "eventfd")));
  CHECK(is_shortage(std::system_error(EAGAIN, std::system_category(), "a thread")));
  CHECK(is_shortage(std::bad_alloc()));
  CHECK(is_shortage(shortage_error("no descriptors")));
  CHECK_FALSE(is_shortage(not_now_error("being written")));
  CHECK_FALSE(is_shortage(bad_input("no header")));
  CHECK_FALSE(is_shortage(std::system_error(ENOENT, std::generic_category(), "/dev/shm")));
  CHECK(text_of(std::bad_alloc()) == "the process gets no more memory");
}

TEST_CASE("what lacks something is done again until it works") {
  int tries = 0;
  std::vector<std::string> told;
  const auto work = [&] {
    if (++tries < 3)
      throw std::system_error(EMFILE, std::generic_category(), "eventfd");
    return tries;
  };
  const shortage_listener tell = [&](const std::string& what) { told.push_back(what); };
  CHECK(through_shortages(tell, {}, "here", work) == 3);
  CHECK(told == std::vector<std::string>(2, "here: eventfd: Too many open files"));
  tries = 0;
  CHECK_THROWS_AS(through_shortages(nullptr, {}, "here", work), std::system_error);
  std::stop_source stop;
  tries = -1000;
  const shortage_listener tell_and_stop = [&](const std::string&) { stop.request_stop(); };
  CHECK_THROWS_AS(through_shortages(tell_and_stop, stop.get_token(), "here", work), std::system_error);
  CHECK(tries == -998);
}

TEST_CASE("a file for which there is no descriptor is not bad") {
  rgbd_files files;
  files.write("numbers.txt", "1 2 3");
  no_descriptors none;
  CHECK_THROWS_AS(read_numbers(files.path() / "numbers.txt", {3}), shortage_error);
  none.end();
  CHECK(read_numbers(files.path() / "numbers.txt", {3}).size() == 3);
}

TEST_CASE("a folder's frames wait for descriptors, and not one is left out") {
  rgbd_files files;
  for (int i = 0; i < 5; ++i)
    files.write_frame(i);
  std::optional<no_descriptors> none;
  std::mutex mutex;
  std::vector<std::string> told;
  source_options o;
  o.sequence.prefetch_threads = GENERATE(0u, 2u);
  const auto run = [&](recording_sink& sink) {
    const auto from = make_source("rgbd:" + files.path().string(), o);
    none.emplace();
    from->run(sink, {});
  };
  recording_sink without;
  CHECK_THROWS_AS(run(without), shortage_error); // half a map is no result
  none.reset();
  CHECK(without.asides().empty());
  o.on_shortage = [&](const std::string& what) {
    const std::lock_guard lock(mutex);
    told.push_back(what);
    none.reset();
  };
  recording_sink sink;
  run(sink);
  CHECK(sink.frames().size() == 5);
  CHECK(sink.asides().empty());
  REQUIRE_FALSE(told.empty());
  CHECK_THAT(told.front(), Catch::Contains("Too many open files"));
}

TEST_CASE("a watch that finds no descriptors when it starts is started again") {
  const auto prefix = shm_name::own_prefix();
  const shm_name segment(prefix, "1");
  segment.write(segment_bytes().bytes());
  source_options o;
  o.shm.settle_ms = 30;
  const size_t left = GENERATE(0u, 1u, 2u); // of three: its bell, the events, the folder
  INFO(left << " descriptors are left");
  const auto from = make_source("shm:" + prefix, o);
  recording_sink sink;
  no_descriptors few(left);
  std::optional<bool> wanting;
  try {
    std::stop_source at_once; // should it start
    at_once.request_stop();
    from->run(sink, at_once.get_token());
  } catch (const std::exception& e) {
    wanting = is_shortage(e);
    CHECK_THAT(e.what(), Catch::Contains("Too many open files"));
  }
  CHECK(wanting == true);
  few.end();
  std::jthread runs([&](std::stop_token stop) { from->run(sink, stop); });
  CHECK(sink.wait_for(1));
}

TEST_CASE("a watch tells what it lacks for a segment") {
  const auto prefix = shm_name::own_prefix();
  const shm_name segment(prefix, "1");
  std::promise<std::string> first;
  std::once_flag once;
  std::optional<no_descriptors> none;
  source_options o;
  o.shm.settle_ms = 30;
  o.shm.unlink = false;
  o.on_shortage = [&](const std::string& what) {
    std::call_once(once, [&] {
      first.set_value(what);
      none.reset();
    });
  };
  segment.write(segment_bytes().bytes());
  const auto from = make_source("shm:" + prefix, o);
  none.emplace(3);
  recording_sink sink;
  std::jthread runs([&](std::stop_token stop) { from->run(sink, stop); });
  CHECK_THAT(first.get_future().get(), Catch::Contains("segment ") && Catch::Contains("Too many open files"));
  CHECK(sink.wait_for(1));
  CHECK(sink.asides().empty());
}

TEST_CASE("a broker's source that finds no descriptors tells it, and goes on trying") {
  const silent_port port;
  source_options o;
  std::promise<std::string> told;
  std::once_flag once;
  o.on_shortage = [&](const std::string& what) { std::call_once(once, [&] { told.set_value(what); }); };
  const auto from = make_source("amqp://127.0.0.1:" + std::to_string(port.number), o);
  recording_sink sink;
  {
    const no_descriptors none;
    CHECK_THROWS_AS(from->run(sink, {}), std::system_error); // before there is anything to lose
  }
  const auto left = GENERATE(1u, 2u); // of three: its bell, the socket, what cuts it
  INFO(left << " descriptors are left");
  const no_descriptors few(left);
  std::jthread runs([&](std::stop_token stop) { from->run(sink, stop); });
  CHECK_THAT(told.get_future().get(), Catch::Contains("connecting: Too many open files"));
  CHECK_THAT(from->trouble(), Catch::Contains("Too many open files") || Catch::Contains("no connection yet"));
}

TEST_CASE("a file for TLS that cannot be opened for want of descriptors turns nobody away") {
  rgbd_files files;
  files.write("ca.pem", "not a certificate");
  source_options o;
  o.amqp.tls.ca_file = (files.path() / "ca.pem").string();
  std::promise<std::string> told;
  std::once_flag once;
  o.on_shortage = [&](const std::string& what) { std::call_once(once, [&] { told.set_value(what); }); };
  const auto from = make_source("amqps://127.0.0.1:1", o);
  recording_sink sink;
  const no_descriptors few(1); // its bell's
  std::jthread runs([&](std::stop_token stop) { from->run(sink, stop); });
  CHECK_THAT(told.get_future().get(), Catch::Contains("ca.pem cannot be used: Too many open files"));
}
