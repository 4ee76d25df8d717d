#include "config/error.hpp"
#include "config/frame_ancestors.hpp"
#include "config/nearest.hpp"
#include "config/resolve.hpp"
#include "config/retained.hpp"
#include "config/sample.hpp"
#include "config/table.hpp"
#include "config/toml.hpp"

#include <catch2/catch.hpp>

#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

using namespace tessera::config;

namespace {

environment variables(std::map<std::string, std::string> values) {
  return [values = std::move(values)](const std::string& name) -> std::optional<std::string> {
    const auto at = values.find(name);
    return at == values.end() ? std::nullopt : std::optional(at->second);
  };
}

std::map<std::string, given> file(const std::string& text) {
  std::istringstream in(text);
  return read_toml(in, "test.toml");
}

layers with(std::map<std::string, given> flags, std::map<std::string, std::string> environment = {},
            const std::string& text = "") {
  return {std::move(flags), variables(std::move(environment)), file(text), {}};
}

std::string failure(const layers& what) {
  try {
    resolve(what);
  } catch (const error& e) {
    return e.what();
  }
  return "nothing was thrown";
}

std::string file_failure(const std::string& text) {
  try {
    file(text);
  } catch (const error& e) {
    return e.what();
  }
  return "nothing was thrown";
}

} // namespace

TEST_CASE("every default is a value that its own row allows") {
  const auto s = defaults();
  CHECK(s.voxel_m == 0.05f);
  CHECK_FALSE(s.truncation_m);
  CHECK(s.region_voxels == 64);
  CHECK(s.memory_cap_bytes == uint64_t{4} << 30);
  CHECK(s.memory_pool_bytes == uint64_t{1} << 30);
  CHECK(s.gpus == "all");
  CHECK(s.streams == 5);
  CHECK(s.port == 8080);
  CHECK(s.metrics_port == 8006);
  CHECK(s.bind == "127.0.0.1");
  CHECK(s.unlink);
  CHECK(s.min_range_is_default);
  CHECK(s.max_range_is_default);
}

TEST_CASE("names stand once, in the table and in the environment") {
  std::set<std::string> names;
  for (const auto& row : table()) {
    INFO(row.name);
    CHECK(names.insert(std::string(row.name)).second);
    CHECK(names.insert(environment_name(row)).second);
    for (auto alias : row.aliases)
      CHECK(names.insert(std::string(alias)).second);
    CHECK_FALSE(row.help.empty());
  }
}

TEST_CASE("a flag wins over the environment, that over the file, that over the default") {
  const std::string text = "[map]\nvoxel-size = 0.1\n";
  CHECK(resolve(with({}, {}, text)).values.voxel_m == 0.1f);
  CHECK(resolve(with({}, {{"TESSERA_VOXEL_SIZE", "0.2"}}, text)).values.voxel_m == 0.2f);
  CHECK(resolve(with({{"voxel-size", {"0.3", "--voxel-size"}}}, {{"TESSERA_VOXEL_SIZE", "0.2"}}, text)).values.voxel_m == 0.3f);
}

TEST_CASE("the names that deployments set keep working") {
  const auto r = resolve(with({}, {{"RABBITMQ_URL", "amqp://a:b@c:1/"},
                                   {"SLAM3R_KEYFRAME_EXCHANGE", "other"},
                                   {"MESH_VOXEL_SIZE", "0.02"},
                                   {"MESH_TRUNCATION_DISTANCE", "0.06"},
                                   {"MESH_MAX_GPU_MEMORY", "1073741824"},
                                   {"MESH_MEMORY_POOL_SIZE", "536870912"},
                                   {"MESH_SERVICE_UNLINK_SHM", "0"},
                                   {"LOG_LEVEL", "WARNING"}}));
  CHECK(r.values.amqp_url == "amqp://a:b@c:1/");
  CHECK(r.values.exchange == "other");
  CHECK(r.values.voxel_m == 0.02f);
  CHECK(r.values.truncation_m == 0.06f);
  CHECK(r.values.memory_cap_bytes == uint64_t{1} << 30);
  CHECK(r.values.memory_pool_bytes == uint64_t{1} << 29);
  CHECK_FALSE(r.values.unlink);
  CHECK(r.values.log_level == "warn");
  CHECK(r.warnings.empty());
}

TEST_CASE("names without effect are said to have none") {
  for (auto name : {"MESH_MAX_VERTICES", "MESH_CAMERA_VELOCITY_THRESHOLD"}) {
    const auto r = resolve(with({}, {{name, "1"}}));
    REQUIRE(r.warnings.size() == 1);
    CHECK(r.warnings[0].find(std::string(name) + " has no effect") == 0);
  }
  const auto r = resolve(with({}, {{"TESSERA_VOXEL_SIZE", "0.1"}, {"MESH_VOXEL_SIZE", "0.2"}}));
  CHECK(r.values.voxel_m == 0.1f);
  REQUIRE(r.warnings.size() == 1);
  CHECK(r.warnings[0].find("MESH_VOXEL_SIZE has no effect") == 0);
}

TEST_CASE("a name in the environment that is no setting is said to be none") {
  auto what = with({});
  what.names = {"TESSERA_VOXELSIZE", "TESSERA_VOXEL_SIZE", "TESSERA_CONFIG"};
  const auto r = resolve(what);
  REQUIRE(r.warnings.size() == 1);
  CHECK(r.warnings[0] == "TESSERA_VOXELSIZE has no effect: there is no such setting; did you mean TESSERA_VOXEL_SIZE?");
  what.names = {"TESSERA_HOME"};
  CHECK(resolve(what).warnings.at(0) == "TESSERA_HOME has no effect: there is no such setting");
}

TEST_CASE("a mistyped word is known if few letters differ") {
  const std::vector<std::string_view> words{"serve", "hash", "mesh", "publish", "bench", "settings", "voxel-size"};
  for (auto [typed, meant] : {std::pair{"serv", "serve"},
                              {"sevre", "serve"},
                              {"Serve", "serve"},
                              {"hsah", "hash"},
                              {"publsh", "publish"},
                              {"setings", "settings"},
                              {"VOXEL_SIZE", "voxel-size"},
                              {"voxelsize", "voxel-size"},
                              {"x", ""},
                              {"", ""},
                              {"explode", ""},
                              {"voxels", ""}}) {
    INFO(typed);
    CHECK(nearest(typed, words) == meant);
  }
  CHECK(did_you_mean("") == "");
  CHECK(did_you_mean("serve") == "; did you mean serve?");
}

TEST_CASE("an error names the setting, where it was set, the value and the bound") {
  CHECK(failure(with({{"voxel-size", {"-1", "--voxel-size"}}}))
        == "voxel-size (--voxel-size): \"-1\" is not 0.0001 to 100 m, or auto");
  CHECK(failure(with({}, {{"MESH_VOXEL_SIZE", "wide"}}))
        == "voxel-size (environment MESH_VOXEL_SIZE): \"wide\" is not 0.0001 to 100 m, or auto");
  CHECK(failure(with({}, {}, "[server]\nport = 65536")) == "port (test.toml line 2): \"65536\" is not 0 to 65535");
  CHECK(failure(with({{"region-size", {"60", "--region-size"}}}))
        == "region-size (--region-size): \"60\" is not 16 to 256 voxels, a multiple of 8");
  CHECK(failure(with({{"threads", {"1.5", "--threads"}}}))
        == "threads (--threads): \"1.5\" is not 1 to 1024, or all: give a whole number");
  CHECK(failure(with({{"voxel-size", {"5cm", "--voxel-size"}}}))
        == "voxel-size (--voxel-size): \"5cm\" is not 0.0001 to 100 m, or auto: give the number alone");
  CHECK(failure(with({{"limit", {"0", "--limit"}}})) == "limit (--limit): \"0\" is not 1 or more keyframes, or all");
  CHECK(failure(with({{"shuffle", {"-1", "--shuffle"}}})) == "shuffle (--shuffle): \"-1\" is not 0 or more, or off");
  CHECK(failure(with({{"memory-cap", {"4 GX", "--memory-cap"}}}))
        == "memory-cap (--memory-cap): \"4 GX\" is not 0 or more bytes: give a number of bytes, or one with KiB, MiB, GiB, TiB, "
           "kB, MB, GB or TB");
  CHECK(failure(with({{"memory-pool", {"1kB", "--memory-pool"}}}))
        == "memory-pool (--memory-pool): \"1kB\" is not 1 MiB to 1 TiB");
  CHECK(failure(with({{"bind", {"", "--bind"}}})) == "bind (--bind): \"\" is not an IPv4 or IPv6 address, or localhost");
  CHECK(failure(with({{"token", {std::string(257, 'x'), "--token"}}}))
        == "token (--token): the value given is not text of at most 256 bytes");
  CHECK(failure(with({{"policy", {"drop", "--policy"}}})) == "policy (--policy): \"drop\" is not block or newest");
  CHECK(failure(with({{"unlink", {"perhaps", "--unlink"}}})) == "unlink (--unlink): \"perhaps\" is not true or false");
  for (auto odd : {"nan", "inf", "1e999", "", " ", "0x10", "1 2"})
    CHECK(failure(with({{"max-range", {odd, "--max-range"}}})).find("max-range (--max-range): ") == 0);
}

TEST_CASE("every setting says its bounds when a value is wrong, whichever way it is wrong") {
  for (const auto& row : table())
    for (auto wrong : {"", "-1", "1e300", "nan", "nonsense!", "3 furlongs", "1.5"}) {
      const std::string name(row.name);
      const auto what = failure(with({{name, {wrong, "--" + name}}}));
      if (what == "nothing was thrown")
        continue; // it is a good value of this one
      INFO(what);
      CHECK(what.find(name + (what.find("--" + name) != std::string::npos ? " (--" + name + "): " : ": ")) == 0);
      CHECK(what.find('\n') == std::string::npos);
      CHECK((what.find(bounds_text(row)) != std::string::npos || what.find(" must begin with / ") != std::string::npos
             || what.find("does not begin with amqp://") != std::string::npos || what.find("must be 1 to 16") != std::string::npos
             || what.find("TLS needs both") != std::string::npos));
    }
}

TEST_CASE("values must fit each other") {
  CHECK(failure(with({{"truncation", {"0.04", "--truncation"}}})).find("truncation: 0.04 m is 0.8 voxels") == 0);
  CHECK(failure(with({{"truncation", {"1", "--truncation"}}})).find("must be 1 to 16") != std::string::npos);
  CHECK(failure(with({{"min-range", {"200", "--min-range"}}})).find("min-range: 200 m is not below max-range") == 0);
  CHECK(failure(with({{"shm-prefix", {"/a/b", "--shm-prefix"}}})).find("shm-prefix: ") == 0);
  CHECK(failure(with({{"voxel-size", {"auto", ""}}, {"truncation", {"1", ""}}})).find("truncation: ") == 0);
  CHECK(failure(with({{"voxel-size", {"auto", ""}}, {"max-range", {"0.01", ""}}})) == "nothing was thrown");
  CHECK(failure(with({{"voxel-size", {"auto", ""}}, {"max-range", {"1", ""}}, {"min-range", {"1", ""}}})).find("min-range: 1 m")
        == 0);
  const auto ranges = resolve(with({{"voxel-size", {"auto", ""}}, {"max-range", {"3", ""}}})).values;
  CHECK((ranges.min_range_is_default && !ranges.max_range_is_default));
  CHECK(failure(with({{"port", {"8006", ""}}})).find("metrics-port: 8006 is port's too") == 0);
  CHECK(failure(with({{"port", {"0", ""}}, {"metrics-port", {"0", ""}}})) == "nothing was thrown");
  CHECK(failure(with({{"amqp-url", {"http://me:hunter2@h/", ""}}}))
        == "amqp-url: the value given does not begin with amqp:// or amqps://");
}

TEST_CASE("a token is not repeated in an error") {
  const std::string token(300, 's');
  CHECK(failure(with({{"token", {token, "--token"}}})).find("sss") == std::string::npos);
}

TEST_CASE("a token that clients cannot send is refused at the start") {
  for (const char* bad : {"a b", "a\tb", "s\xc3\xa4safe", "ab\n", " ab"})
    CHECK(failure(with({}, {{"TESSERA_TOKEN", bad}}))
          == "token (environment TESSERA_TOKEN): the value given is not text of at most 256 bytes: a token is printable ASCII "
             "without blanks");
  CHECK(failure(with({{"token", {"open/sesame?&=~!", "--token"}}})) == "nothing was thrown");
}

TEST_CASE("sizes take units") {
  const auto cap = [](const char* text) { return resolve(with({{"memory-cap", {text, ""}}})).values.memory_cap_bytes; };
  CHECK(cap("0") == 0);
  CHECK(cap("1048576") == 1u << 20);
  CHECK(cap("2MiB") == 2u << 20);
  CHECK(cap("1.5 GiB") == uint64_t{3} << 29);
  CHECK(cap("2g") == uint64_t{2} << 30);
  CHECK(cap("3GB") == 3'000'000'000);
  CHECK(cap("1e6") == 1'000'000);
  for (auto odd : {"-1", "1XB", "GiB", "1GiB2", "1e30"})
    CHECK(failure(with({{"memory-cap", {odd, ""}}})) != "nothing was thrown");
}

TEST_CASE("what is kept is told in keyframes, age and size, each once") {
  const auto kept = [](const char* text) {
    const auto out = parse_retained(resolve(with({{"retain", {text, ""}}})).values.retain);
    return std::vector<uint64_t>{out.keyframes, out.age_s, out.ray_bytes};
  };
  using bounds = std::vector<uint64_t>;
  CHECK(kept("all") == bounds{0, 0, 0});
  CHECK(kept(" all ") == bounds{0, 0, 0});
  CHECK(kept("5000") == bounds{5000, 0, 0});
  CHECK(kept("2h") == bounds{0, 7200, 0});
  CHECK(kept("90 s") == bounds{0, 90, 0});
  CHECK(kept("1.5min") == bounds{0, 90, 0});
  CHECK(kept("7d") == bounds{0, 604'800, 0});
  CHECK(kept("4GB") == bounds{0, 0, 4'000'000'000});
  CHECK(kept("1.5GiB") == bounds{0, 0, uint64_t{3} << 29});
  CHECK(kept("16B") == bounds{0, 0, 16});
  CHECK(kept("4GB, 2h ,5000") == bounds{5000, 7200, 4'000'000'000});
  const auto fault = [](const char* text) {
    const auto what = failure(with({{"retain", {text, "--retain"}}}));
    const auto begin = std::string{"retain (--retain): "} + '"' + text + "\" is not " + bounds_text(*find("retain")) + ": ";
    CHECK(what.substr(0, begin.size()) == begin);
    return what.size() > begin.size() ? what.substr(begin.size()) : "";
  };
  CHECK(fault("0") == "\"0\" is not 1 keyframe or more");
  CHECK(fault("2h,-3") == "\"-3\" is not 1 keyframe or more");
  CHECK(fault("2.5") == "\"2.5\" is not a whole number of keyframes");
  CHECK(fault("0.5s") == "\"0.5s\" is not 1 s to 36600 d");
  CHECK(fault("40000d") == "\"40000d\" is not 1 s to 36600 d");
  CHECK(fault("0GB") == "\"0GB\" is not 1 B or more, and less than 8 PiB");
  CHECK(fault("5m") == "\"5m\" can be minutes or megabytes: write min or MB");
  CHECK(fault("5,6") == "\"6\" is a second number of keyframes");
  CHECK(fault("1h,2d") == "\"2d\" is a second age");
  CHECK(fault("1kB,2MB") == "\"2MB\" is a second size");
  CHECK(fault("2weeks")
        == "\"2weeks\" has the unit \"weeks\", not s, min, h, d, kB, MB, GB, TB, KiB, MiB, GiB or TiB, or none for "
           "keyframes");
  for (const auto* odd : {",", "5,", "h", "GB", "5 6", "all,5", "5XB", "nan", "1e400", "infs"})
    CHECK_FALSE(fault(odd).empty());
  CHECK(failure(with({{"retain", {"", "--retain"}}})).find("retain (--retain): \"\" is not all, or ") == 0);
}

TEST_CASE("whose pages may frame ours is told as origins") {
  const auto framed = [](const char* text) {
    return parse_frame_ancestors(resolve(with({{"frame-ancestors", {text, ""}}})).values.frame_ancestors);
  };
  CHECK(parse_frame_ancestors(defaults().frame_ancestors) == "'none'");
  CHECK(framed(" none ") == "'none'");
  CHECK(framed("self") == "'self'");
  CHECK(framed("https://example.org") == "https://example.org");
  CHECK(framed("self, https://*.example.org:8443 ,http://127.0.0.1:3000")
        == "'self' https://*.example.org:8443 http://127.0.0.1:3000");
  const auto fault = [](const std::string& text) {
    const auto what = failure(with({{"frame-ancestors", {text, "--frame-ancestors"}}}));
    const auto begin
      = "frame-ancestors (--frame-ancestors): \"" + text + "\" is not " + bounds_text(*find("frame-ancestors")) + ": ";
    CHECK(what.substr(0, begin.size()) == begin);
    return what.size() > begin.size() ? what.substr(begin.size()) : "";
  };
  CHECK(fault("example.org") == "\"example.org\" does not begin with http:// or https://");
  CHECK(fault("ftp://example.org") == "\"ftp://example.org\" does not begin with http:// or https://");
  CHECK(fault("self,https://example.org/")
        == "\"https://example.org/\" goes on after its host: an origin has no path, nor a slash at its end");
  CHECK(fault("https://a:0") == "\"https://a:0\" has a port that is not 1 to 65535");
  CHECK(fault("none,self") == "\"none\" stands alone or not at all");
  // Nothing that could end the directive, or the header.
  for (const auto* odd : {",",
                          "self,",
                          "*",
                          "https://*",
                          "https://",
                          "https://a b",
                          "https://a;b",
                          "https://a;script-src *",
                          "'self'",
                          "https://a'",
                          "https://.a",
                          "https://a..b",
                          "https://a:",
                          "https://a:b",
                          "https://a:65536",
                          "https://*a",
                          "https://[::1]",
                          "https://u@a",
                          "HTTPS://a",
                          "https://a?b"})
    CHECK_FALSE(fault(odd).empty());
  CHECK_THROWS_AS(parse_frame_ancestors("https://a\r\nSet-Cookie: b"), std::invalid_argument);
  CHECK(failure(with({{"frame-ancestors", {"", "--frame-ancestors"}}}))
          .find("frame-ancestors (--frame-ancestors): \"\" is not none, ")
        == 0);
}

TEST_CASE("a settings file is read with its comments, quotes and escapes") {
  const auto values = file(
    "# first\n\n[server]\ntoken = \"a#b, \\\"c\\\"\" # last\nport=1_000\ninsecure = true\n[work]\nstore-dir = '/x\\y'\r\n");
  CHECK(values.at("token").text == "a#b, \"c\"");
  CHECK(values.at("token").where == "test.toml line 4");
  CHECK(values.at("port").text == "1000");
  CHECK(values.at("insecure").text == "true");
  CHECK(values.at("store-dir").text == "/x\\y");
}

TEST_CASE("a settings file's faults are told by line") {
  CHECK(file_failure("[maps]") == "test.toml line 1: there is no section [maps]; did you mean map?");
  CHECK(file_failure("[nowhere]") == "test.toml line 1: there is no section [nowhere]");
  CHECK(file_failure("[map]\nvoxel_size = 1") == "test.toml line 2: there is no setting voxel_size; did you mean voxel-size?");
  CHECK(file_failure("[map]\nvoxels = 1") == "test.toml line 2: there is no setting voxels");
  CHECK(file_failure("[map]\nport = 1") == "test.toml line 2: port belongs into the section [server]");
  CHECK(file_failure("port = 1\nport = 2") == "test.toml line 2: port was set before, at test.toml line 1");
  CHECK(file_failure("port 1") == "test.toml line 1: = is expected after port");
  CHECK(file_failure("port = 1 2") == "test.toml line 1: nothing may follow the value of port");
  CHECK(file_failure("port =") == "test.toml line 1: a value is expected after =");
  CHECK(file_failure("token = \"x") == "test.toml line 1: the closing \" is missing");
  CHECK(file_failure("token = \"\\q\"") == "test.toml line 1: unknown escape \\q");
  CHECK(file_failure("bind = all") == "test.toml line 1: text belongs in quotes: bind = \"...\"");
  CHECK(file_failure("\xef\xbb\xbf"
                     "bind = all")
        == "test.toml line 1: text belongs in quotes: bind = \"...\""); // a mark of order
  CHECK(file_failure("[map\n") == "test.toml line 1: a section is written [name]");
  CHECK(file_failure("port = [1]") == "test.toml line 1: lists and tables are no settings");
}

TEST_CASE("what is no settings file is told") {
  const auto failure_of = [](const std::string& path) {
    try {
      read_file(path);
    } catch (const error& e) {
      return std::string(e.what());
    }
    return std::string("nothing was thrown");
  };
  const auto folder = std::filesystem::temp_directory_path().string();
  CHECK(failure_of(folder) == "settings file " + folder + ": it is a folder, not a file");
  CHECK(failure_of("/nowhere.toml") == "settings file /nowhere.toml: No such file or directory");
  CHECK(failure_of("/dev/zero").find("settings file /dev/zero: it has more than 1048576 bytes") == 0);
  CHECK(failure_of("/dev/null") == "nothing was thrown");
}

TEST_CASE("the committed sample is what the table gives, and sets every default") {
  std::ifstream in(std::string(TESSERA_SOURCE_DIR) + "/config/tessera.toml");
  REQUIRE(in);
  std::stringstream committed;
  committed << in.rdbuf();
  INFO("tessera settings > config/tessera.toml brings it up to date");
  CHECK((committed.str() == sample_file()));
  const auto values = file(sample_file());
  CHECK(values.size() == table().size());
  const auto r = resolve({{}, variables({}), values, {}});
  CHECK(r.warnings.empty());
  CHECK(r.values.exchange == defaults().exchange);
  CHECK(r.values.memory_cap_bytes == defaults().memory_cap_bytes);
}
