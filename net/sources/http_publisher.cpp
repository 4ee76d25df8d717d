#include "net/sources/http_publisher.hpp"

#include "net/sources/backoff.hpp"
#include "net/sources/pace.hpp"
#include "net/sources/percent.hpp"
#include "net/sources/producer_view.hpp"
#include "net/sources/utf8.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <nlohmann/json.hpp>

#include <mutex>
#include <optional>
#include <stdexcept>

namespace tessera {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;

namespace {

constexpr std::chrono::seconds operation_limit{30};

struct http_address {
  std::string host, port, path;
};

http_address parse_http_url(const std::string& url) {
  auto refuse = [&](const char* why) {
    throw std::invalid_argument("the service's address '" + printable(url) + "' " + why + "; it must be http://HOST:PORT");
  };
  constexpr std::string_view scheme = "http://";
  std::string_view rest = url;
  rest.remove_prefix(scheme.size());
  auto slash = rest.find('/');
  auto authority = rest.substr(0, slash);
  http_address a;
  a.path = slash == std::string_view::npos ? "" : std::string(rest.substr(slash));
  while (a.path.ends_with('/'))
    a.path.pop_back();
  if (authority.find('@') != std::string_view::npos)
    refuse("has a user: give a token instead");
  auto colon = authority.rfind(':');
  if (authority.starts_with('[')) {
    auto end = authority.find(']');
    if (end == std::string_view::npos)
      refuse("has a [ without its ]");
    a.host = authority.substr(1, end - 1);
    colon = end + 1 < authority.size() && authority[end + 1] == ':' ? end + 1 : std::string_view::npos;
  } else {
    a.host = authority.substr(0, colon);
  }
  a.port = colon == std::string_view::npos ? "80" : std::string(authority.substr(colon + 1));
  if (a.host.empty() || a.port.empty() || a.port.find_first_not_of("0123456789") != std::string::npos)
    refuse("has no host or no numeric port");
  return a;
}

class http_publisher final : public publisher {
public:
  http_publisher(const std::string& url, const publish_options& options, std::stop_token stop)
    : address_(parse_http_url(url)), options_(options), stop_(std::move(stop)) {
    for (char c : options.token)
      if (c < 33 || c > 126)
        throw std::invalid_argument("the token must be printable ASCII without blanks");
  }

  [[nodiscard]] std::string where() const override { return "http://" + address_.host + ":" + address_.port + address_.path; }

  void offer(keyframe frame, completion done) override {
    std::string body;
    try {
      body = producer::message_body(producer_view(frame));
    } catch (const std::invalid_argument& e) {
      finish(done, {outcome::refused, e.what()});
      return;
    }
    auto r = request_for(http::verb::post, "", producer::keyframe_content_type, std::move(body));
    r.set("X-Keyframe-Id", percent_encoded(frame.id.value));
    r.set("X-Timestamp-Ns", std::to_string(frame.timestamp_ns));
    if (!frame.id.session.empty())
      r.set("Tessera-Session", percent_encoded(frame.id.session));
    if (!frame.group.empty())
      r.set("Tessera-Group", percent_encoded(frame.group));
    finish(done, send(r));
  }
  void retract(keyframe_id id, completion done) override {
    finish(done, send(request_for(http::verb::delete_, path_of(id, ""), nullptr, {})));
  }
  void revise(keyframe_id id, pose world_from_camera, completion done) override {
    auto body = nlohmann::json{{"pose", world_from_camera.m}}.dump();
    finish(done, send(request_for(http::verb::put, path_of(id, "/pose"), "application/json", std::move(body))));
  }

private:
  using request = http::request<http::string_body>;
  using response = http::response<http::string_body>;

  static std::string path_of(const keyframe_id& id, const char* below) {
    return '/' + percent_encoded(id.value) + below + (id.session.empty() ? "" : "?session=" + percent_encoded(id.session));
  }

  /// `below`: the path after that of all keyframes.
  [[nodiscard]] request request_for(http::verb verb, const std::string& below, const char* content_type, std::string body) const {
    request r(verb, address_.path + "/v1/keyframes" + below, 11);
    r.set(http::field::host, address_.host + ":" + address_.port);
    r.set(http::field::accept, "application/json");
    if (content_type != nullptr)
      r.set(http::field::content_type, content_type);
    if (!options_.token.empty())
      r.set(http::field::authorization, "Bearer " + options_.token);
    r.keep_alive(true);
    r.body() = std::move(body);
    r.prepare_payload();
    return r;
  }

  /// Asks until there is an answer that stands, or patience is over.
  verdict send(const request& r) {
    std::lock_guard lock(mutex_);
    auto until = std::chrono::steady_clock::now() + options_.patience;
    backoff pause(std::chrono::milliseconds(10), std::chrono::milliseconds(500));
    for (;;) {
      std::string problem;
      try {
        auto answer = ask(r);
        auto code = answer.result_int();
        if (code / 100 == 2)
          return verdict_in(answer);
        if (answer.result() == http::status::not_found && r.method() != http::verb::post)
          return {outcome::unknown, reason_in(answer)};
        if (code != 429 && code != 503)
          return {outcome::refused, reason_in(answer)};
        problem = where() + " is busy: " + reason_in(answer);
      } catch (const boost::system::system_error& e) {
        stream_.reset();
        problem = where() + " does not answer: " + e.code().message();
      }
      auto next = std::chrono::steady_clock::now() + pause.next();
      if (next > until)
        return {outcome::refused, problem};
      if (!sleep_unless(stop_, next))
        return {outcome::refused, "stopped: " + problem};
    }
  }

  response ask(const request& r) {
    if (!stream_) {
      stream_.emplace(io_);
      asio::ip::tcp::resolver resolver(io_);
      auto ends = resolver.resolve(address_.host, address_.port);
      complete([&](auto done) { stream_->async_connect(ends, [done](auto error, const auto&) { done(error); }); });
      stream_->socket().set_option(asio::ip::tcp::no_delay(true));
    }
    complete([&](auto done) { http::async_write(*stream_, r, [done](auto error, size_t) { done(error); }); });
    http::response_parser<http::string_body> parser;
    parser.body_limit(1 << 20);
    beast::flat_buffer buffer;
    complete([&](auto done) { http::async_read(*stream_, buffer, parser, [done](auto error, size_t) { done(error); }); });
    auto answer = parser.release();
    if (!answer.keep_alive())
      stream_.reset();
    return answer;
  }

  /// Runs one operation to its end or its time limit, which Beast has for asynchronous ones only. Throws its
  /// error.
  template <class F>
  void complete(F start) {
    boost::system::error_code result = asio::error::operation_aborted;
    stream_->expires_after(operation_limit);
    start([&](const boost::system::error_code& error) { result = error; });
    io_.restart();
    io_.run();
    if (result)
      throw boost::system::system_error(result);
  }

  static nlohmann::json json_in(const response& answer) {
    auto json = nlohmann::json::parse(answer.body(), nullptr, false);
    return json.is_object() ? json : nlohmann::json::object();
  }

  static verdict verdict_in(const response& answer) {
    auto json = json_in(answer);
    auto found = json.find("outcome");
    bool twice = found != json.end() && found->is_string() && *found == "duplicate";
    return {twice ? outcome::duplicate : outcome::accepted, {}};
  }

  static std::string reason_in(const response& answer) {
    auto text = std::to_string(answer.result_int()) + " " + std::string(answer.reason());
    auto json = json_in(answer);
    for (const char* key : {"reason", "error", "message"})
      if (auto found = json.find(key); found != json.end() && found->is_string())
        return text + ": " + found->get<std::string>();
    return answer.body().empty() ? text : text + ": " + printable(answer.body(), 200);
  }

  http_address address_;
  publish_options options_;
  std::stop_token stop_;
  std::mutex mutex_;
  asio::io_context io_;
  std::optional<beast::tcp_stream> stream_;
};

} // namespace

std::unique_ptr<publisher> make_http_publisher(const std::string& url, const publish_options& options, std::stop_token stop) {
  return std::make_unique<http_publisher>(url, options, std::move(stop));
}

} // namespace tessera
