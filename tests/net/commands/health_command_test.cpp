// `tessera health`: against a server that says what the test wants.

#include "net/commands/health_command.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/streambuf.hpp>
#include <boost/asio/write.hpp>
#include <catch2/catch.hpp>

#include <chrono>
#include <sstream>
#include <string>
#include <thread>

using namespace tessera;
using namespace std::chrono_literals;

namespace {

using tcp = boost::asio::ip::tcp;

/// Answers one client with `answer`, or with nothing until it goes; keeps what was asked.
class one_answer {
public:
  explicit one_answer(std::string answer) : acceptor_(io_, {boost::asio::ip::address_v4::loopback(), 0}) {
    thread_ = std::thread([this, answer = std::move(answer)] {
      boost::system::error_code ignored;
      auto client = acceptor_.accept(ignored);
      boost::asio::streambuf asked;
      boost::asio::read_until(client, asked, "\r\n\r\n", ignored);
      asked_.assign(boost::asio::buffers_begin(asked.data()), boost::asio::buffers_end(asked.data()));
      if (answer.empty())
        boost::asio::read_until(client, asked, "never", ignored); // ends when the client goes
      else
        boost::asio::write(client, boost::asio::buffer(answer), ignored);
    });
  }
  ~one_answer() { join(); }
  std::string url() { return "http://127.0.0.1:" + std::to_string(acceptor_.local_endpoint().port()); }
  std::string asked() {
    join();
    return asked_;
  }

private:
  void join() {
    if (thread_.joinable())
      thread_.join();
  }
  boost::asio::io_context io_;
  tcp::acceptor acceptor_;
  std::thread thread_;
  std::string asked_;
};

} // namespace

TEST_CASE("health is the status of /healthz") {
  std::ostringstream out;
  one_answer well{"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n"};
  CHECK(health_command(well.url(), 20s, out) == 0);
  CHECK(out.str() == well.url() + ": 200 ok\n");
  CHECK_THAT(well.asked(), Catch::StartsWith("GET /healthz HTTP/1.1\r\n"));

  out.str("");
  one_answer ill{"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 13\r\n\r\nrestart me\nxy"};
  CHECK(health_command(ill.url() + "/readyz", 20s, out) == 1);
  CHECK_THAT(out.str(), Catch::Contains(": 503 restart me\n"));
  CHECK_THAT(ill.asked(), Catch::StartsWith("GET /readyz HTTP/1.1\r\n"));
}

TEST_CASE("a service that is silent, gone or no service is told") {
  std::ostringstream out;
  {
    one_answer silent{""};
    CHECK_THROWS_WITH(health_command(silent.url(), 100ms, out), Catch::Contains("does not answer within 100 ms"));
  }
  {
    one_answer other{"SSH-2.0-something\r\n\r\n"};
    CHECK_THROWS_WITH(health_command(other.url(), 20s, out), Catch::Contains("cannot be asked"));
  }
  std::string gone;
  {
    one_answer before{"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"};
    gone = before.url();
    CHECK(health_command(gone, 20s, out) == 0);
  }
  CHECK_THROWS_WITH(health_command(gone, 20s, out), Catch::Contains("is the service there?"));
}

TEST_CASE("health takes no other addresses") {
  std::ostringstream out;
  for (const auto* bad : {"", "localhost:8080", "ftp://localhost:8080", "https://", "http://", "http://:80",
                          "http://localhost:", "http://localhost:65536", "http://localhost:8o", "http://local host:80"})
    CHECK_THROWS_AS(health_command(bad, 1s, out), std::invalid_argument);
}

TEST_CASE("a service that listens everywhere is asked on the loopback address") {
  CHECK(health_url("0.0.0.0", 8080, false) == "http://127.0.0.1:8080/healthz");
  CHECK(health_url("::", 8080, false) == "http://[::1]:8080/healthz");
  CHECK(health_url("10.1.2.3", 80, false) == "http://10.1.2.3:80/healthz");
  CHECK(health_url("localhost", 9000, false) == "http://localhost:9000/healthz");
  CHECK(health_url("::", 443, true) == "https://[::1]:443/healthz");
}
