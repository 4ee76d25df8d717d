#include "messages/clock.hpp"
#include "net/formats/recorded_input.hpp"
#include "net/sources/recording/recording_file.hpp"
#include "recording_files.hpp"

#include <catch2/catch.hpp>

#include <sys/resource.h>

#include <array>
#include <csignal>
#include <cstring>

using namespace tessera;
using namespace tessera::testing;

namespace {

struct place {
  mcap::opcode what;
  uint64_t offset, length;
};

/// Every record of a file.
std::vector<place> records_of(const std::string& bytes) {
  std::vector<place> out;
  for (uint64_t at = mcap::magic.size(); at + mcap::magic.size() < bytes.size();) {
    const auto head = mcap::read_head(std::string_view(bytes).substr(at));
    out.push_back({head.what, at, mcap::head_bytes + head.length});
    at += mcap::head_bytes + head.length;
  }
  return out;
}

std::vector<place> chunks_of(const std::string& bytes) {
  auto all = records_of(bytes);
  std::erase_if(all, [](const place& one) { return one.what != mcap::opcode::chunk; });
  return all;
}

template <class T>
std::string with_number(std::string bytes, uint64_t offset, T value) {
  std::memcpy(bytes.data() + offset, &value, sizeof value);
  return bytes;
}

/// A file with these records behind its header.
std::string file_of(const std::string& records) {
  std::string out(mcap::magic);
  mcap::record_writer(out, mcap::opcode::header).text({}).text("somebody");
  return out + records;
}

void put_chunk(std::string& out, const std::string& records, mcap::packing packing, uint32_t crc) {
  const auto body = packing == mcap::packing::none ? records : mcap::pack(records, packing);
  {
    mcap::record_writer to(out, mcap::opcode::chunk);
    to.u64(1).u64(2).u64(records.size()).u32(crc).text(mcap::to_string(packing)).u64(body.size()).and_bytes(body.size());
  }
  out += body;
}

std::vector<map_input> without(std::vector<map_input> all, size_t which) {
  all.erase(all.begin() + static_cast<std::ptrdiff_t>(which));
  return all;
}

/// Files may not grow beyond so many bytes for a while.
class file_limit {
public:
  explicit file_limit(uint64_t bytes) {
    ::getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit now{bytes, before_.rlim_max};
    old_ = std::signal(SIGXFSZ, SIG_IGN);
    ::setrlimit(RLIMIT_FSIZE, &now);
  }
  ~file_limit() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, old_);
  }
  file_limit(const file_limit&) = delete;
  file_limit& operator=(const file_limit&) = delete;

private:
  rlimit before_{};
  void (*old_)(int) = nullptr;
};

sequence_options threaded(uint32_t threads) {
  sequence_options out;
  out.prefetch_threads = threads;
  return out;
}

sequence_options chosen(uint64_t limit, uint32_t every) {
  sequence_options out;
  out.limit = limit;
  out.every = every;
  return out;
}

sequence_options paced(double rate) {
  sequence_options out;
  out.rate = rate;
  return out;
}

} // namespace

TEST_CASE("What is recorded comes back as it was, bit for bit and in its order") {
  const auto packing = GENERATE(mcap::packing::none, mcap::packing::lz4, mcap::packing::zstd);
  const recording_path file;
  const auto all = some_inputs();
  for (const auto& v : record(file, all, packing))
    CHECK(v == verdict{});
  for (const uint32_t threads : {0, 1, 3}) {
    const auto back = played(file, threaded(threads));
    CHECK(back.asides.empty());
    CHECK(same(back.inputs, all));
  }
  const auto source = make_recording_source(file.text(), {}, {}, {});
  CHECK(source->kind() == "recording");
  CHECK(source->total() == 6u);
  CHECK(source->brings_changes());
}

TEST_CASE("Corrections of many are recorded as one move after the other, those of keyframes first") {
  const recording_path file;
  const auto at = a_keyframe(5).world_from_camera;
  {
    recorder to(file.text(), {mcap::packing::none, {}, {}, {}});
    verdict answer;
    to.correct({{{{}, "upstairs", at, 7}, {{"a", "monday"}, {}, at, std::nullopt}, {{}, "cellar", at, 0}}},
               [&](const verdict& v) { answer = v; });
    CHECK(answer.what == outcome::accepted);
    CHECK(answer.keyframes == 3);
    to.close();
    CHECK(to.so_far().changes == 3);
  }
  const auto back = played(file);
  REQUIRE(back.inputs.size() == 1);
  CHECK(same(back.inputs[0], revision{{"a", "monday"}, at}));
  REQUIRE(back.moves.size() == 2);
  CHECK(back.moves[0].group == "upstairs");
  CHECK(back.moves[0].number == 7u);
  CHECK(back.moves[0].to == at);
  CHECK(back.moves[1].group == "cellar");
  CHECK(back.moves[1].number == 0u);
  CHECK(make_recording_source(file.text(), {}, {}, {})->brings_changes());
}

TEST_CASE("A recording of keyframes alone needs no rays to be kept") {
  const recording_path file;
  record(file, {a_keyframe(1), a_keyframe(2)});
  CHECK_FALSE(make_recording_source(file.text(), {}, {}, {})->brings_changes());
  CHECK(make_recording_source(file.text(), {}, {}, {})->ids_repeat());
}

TEST_CASE("An empty recording is whole, and a file that is there is not written over") {
  const recording_path file;
  record(file, {});
  CHECK(recording_file(file.text()).census().keyframes == 0);
  const auto back = played(file);
  CHECK((back.inputs.empty() && back.asides.empty()));
  CHECK_THROWS_WITH(recorder(file.text(), {}), Catch::Contains("exists"));
}

TEST_CASE("Times of records grow, whatever keyframes say") {
  const recording_path file;
  auto late = a_keyframe(9), early = a_keyframe(1), unknown = a_keyframe(2);
  unknown.received_ns = 0;
  record(file, {late, early, retraction{early.id}, unknown});
  uint64_t last = 0;
  for (const auto& one : chunks_of(file.bytes())) {
    const auto bytes = file.bytes();
    const auto chunk = mcap::read_chunk(std::string_view(bytes).substr(one.offset + mcap::head_bytes, one.length));
    CHECK(chunk.start_ns > last);
    last = chunk.start_ns;
  }
  CHECK(last < late.received_ns + 3'600'000'000'000ull);
}

TEST_CASE("A file that is cut off anywhere gives what is whole of it, and says how much is not") {
  const recording_path whole, cut("cut");
  const auto all = some_inputs();
  record(whole, all);
  const auto bytes = whole.bytes();
  const auto chunks = chunks_of(bytes);
  REQUIRE(chunks.size() == all.size());
  for (size_t length = mcap::magic.size(); length < bytes.size(); length += 1 + length / 97) {
    cut.write(std::string_view(bytes).substr(0, length));
    size_t whole_ones = 0;
    while (whole_ones < chunks.size() && chunks[whole_ones].offset + chunks[whole_ones].length <= length)
      ++whole_ones;
    input_sink back;
    recording_file file(cut.text());
    while (file.next()) {
    }
    const auto source = make_recording_source(cut.text(), {}, {}, {});
    source->run(back, {});
    INFO("cut after " << length << " of " << bytes.size());
    CHECK(back.asides.empty());
    CHECK(same(back.inputs, {all.begin(), all.begin() + static_cast<std::ptrdiff_t>(whole_ones)}));
    const auto keyframes = std::ranges::count_if(back.inputs, [](const auto& x) { return std::holds_alternative<keyframe>(x); });
    CHECK(source->total() == static_cast<uint64_t>(keyframes));
    if (length < chunks.back().offset)
      CHECK_FALSE(file.cut().empty());
  }
  cut.write(std::string_view(bytes).substr(0, chunks[2].offset + 100));
  recording_file file(cut.text());
  while (file.next()) {
  }
  CHECK_THAT(file.cut(), Catch::Contains("at byte " + std::to_string(chunks[2].offset) + " a chunk has ")
                           && Catch::EndsWith("; 100 bytes are not read"));
}

TEST_CASE("A damaged chunk is set aside, and nothing else is lost") {
  const recording_path file;
  const auto all = some_inputs();
  record(file, all);
  const auto bytes = file.bytes();
  const auto chunks = chunks_of(bytes);
  for (size_t i = 0; i < chunks.size(); ++i) {
    auto damaged = bytes;
    damaged[chunks[i].offset + chunks[i].length - 20] ^= 4;
    file.write(damaged);
    const auto back = played(file);
    REQUIRE(back.asides.size() == 1);
    CHECK_THAT(back.asides.front(),
               Catch::Contains("recording: chunk: the checksum of records is ") && Catch::Contains("but uncompressed_crc is "));
    CHECK(same(back.inputs, without(all, i)));
  }
}

TEST_CASE("No length from outside is believed") {
  const recording_path file;
  const auto all = some_inputs();
  record(file, all);
  const auto bytes = file.bytes();
  const auto first = chunks_of(bytes).front().offset + mcap::head_bytes; // start, end, size, crc, compression, records
  const auto reason = [&](const std::string& with) {
    file.write(with);
    const auto back = played(file);
    CHECK(same(back.inputs, without(all, 0)));
    return back.asides.empty() ? std::string{} : back.asides.front();
  };
  CHECK_THAT(reason(with_number(bytes, first + 16, uint64_t{1} << 60)),
             Catch::Contains("uncompressed_size is 1152921504606846976, must be at most 268435456"));
  CHECK_THAT(reason(with_number(bytes, first + 16, uint64_t{7})), Catch::Contains("but uncompressed_size is 7"));
  CHECK_THAT(reason(with_number(bytes, first + 28, uint32_t{4'000'000'000})),
             Catch::Contains("compression has 4000000000 bytes"));
  CHECK_THAT(reason(with_number(bytes, first + 32, ~uint64_t{})), Catch::Contains("records has 18446744073709551615 bytes"));

  file.write(with_number(bytes, first - 8, ~uint64_t{})); // the record's own: where the next one begins is not known
  const auto back = played(file);
  CHECK((back.inputs.empty() && back.asides.empty()));
}

TEST_CASE("A record that is too large is passed over unread") {
  const recording_path file;
  const auto size = mcap::most_bytes + 1;
  std::string head;
  mcap::record_writer(head, mcap::opcode::chunk).and_bytes(size);
  std::string behind;
  put_input(behind, a_keyframe(3), 0, 7);
  file.write(file_of(head));
  const auto at = file.bytes().size();
  std::filesystem::resize_file(file.text(), at + size); // a hole
  std::ofstream(file.text(), std::ios::binary | std::ios::app) << behind;
  const auto back = played(file);
  CHECK(back.asides == std::vector<std::string>{"recording: chunk has 268435457 bytes, must have at most 268435456"});
  CHECK(same(back.inputs, {a_keyframe(3)}));
}

TEST_CASE("A chunk that grows beyond what it says, or less far, is set aside") {
  const recording_path file;
  const auto packing = GENERATE(mcap::packing::lz4, mcap::packing::zstd);
  const std::string records(1'000'000, '\0');
  std::string chunk;
  put_chunk(chunk, records, packing, 0);
  for (const uint64_t size : {uint64_t{0}, uint64_t{999'999}, uint64_t{1'000'001}, mcap::most_bytes}) {
    file.write(file_of(with_number(chunk, mcap::head_bytes + 16, size)));
    const auto asides = played(file).asides;
    REQUIRE(asides.size() == 1);
    CHECK_THAT(asides.front(), Catch::Contains("uncompressed_size") || Catch::Contains(" frame"));
  }
  chunk.resize(chunk.size() - 5); // and the record's length with it
  file.write(
    file_of(with_number(with_number(chunk, 1, chunk.size() - mcap::head_bytes),
                        chunk.size() - (mcap::pack(records, packing).size() - 5) - 8, mcap::pack(records, packing).size() - 5)));
  CHECK(played(file).asides.size() == 1);
}

TEST_CASE("What other tools make of a recording is read: one large chunk, another order of records, no chunks, no index") {
  const recording_path file;
  const auto all = some_inputs();
  std::string records;
  for (uint32_t i = 0; i < all.size(); ++i)
    put_input(records, all[i], i, i + 1);
  std::string data;
  SECTION("a chunk of several messages") {
    const auto packing = GENERATE(mcap::packing::none, mcap::packing::lz4, mcap::packing::zstd);
    put_chunk(data, records, packing, mcap::crc_of(records));
  }
  SECTION("no checksum") {
    put_chunk(data, records, mcap::packing::zstd, 0);
  }
  SECTION("no chunk") {
    data = records;
  }
  SECTION("records that nobody knows, attachments and metadata") {
    mcap::record_writer(data, static_cast<mcap::opcode>(0x80)).text("ours");
    mcap::record_writer(data, static_cast<mcap::opcode>(0x09)).u64(1).u64(1).text("a").text("b").u64(0).u32(0);
    data += records;
  }
  file.write(file_of(data));
  const auto back = played(file);
  CHECK(back.asides.empty());
  CHECK(same(back.inputs, all));
  CHECK(make_recording_source(file.text(), {}, {}, {})->total() == 6u);
}

TEST_CASE("Messages of others are passed over, among them clouds that are no keyframes") {
  const recording_path file;
  std::string data;
  mcap::record_writer(data, mcap::opcode::schema).u16(7).text("foxglove.PointCloud").text("protobuf").text("not ours");
  mcap::record_writer(data, mcap::opcode::channel).u16(900).u16(7).text("/lidar").text("protobuf").text({});
  mcap::record_writer(data, mcap::opcode::channel).u16(901).u16(0).text("/log").text("json").text({});
  for (const auto channel : std::array<uint16_t, 3>{900, 901, 902}) // nobody says what the last one is
    mcap::record_writer(data, mcap::opcode::message).u16(channel).u32(0).u64(1).u64(1).text("whatever");
  put_input(data, a_keyframe(1), 0, 3);
  // A cloud without our field, in a channel of ours.
  mcap::record_writer(data, mcap::opcode::message).u16(1).u32(0).u64(4).u64(4);
  file.write(file_of(data));
  const auto back = played(file);
  CHECK(back.asides.empty());
  CHECK(same(back.inputs, {a_keyframe(1)}));
}

TEST_CASE("What is no recording is said to be none") {
  const recording_path file;
  CHECK_THROWS_WITH(make_recording_source(file.text(), {}, {}, {}), Catch::Contains("cannot read " + file.text()));
  CHECK_THROWS_WITH(make_recording_source("/tmp", {}, {}, {}), Catch::Contains("is not a file"));
  for (const auto* bytes : {"", "\x89MCAP", "\x89MCAP1\r\n", "ply\nformat ascii 1.0"}) {
    file.write(bytes);
    CHECK_THROWS_WITH(make_recording_source(file.text(), {}, {}, {}), Catch::Contains("is not a recording"));
  }
  file.write(std::string(mcap::magic) + std::string(1000, '\0')); // what a file system may leave of the end
  const auto back = played(file);
  CHECK((back.inputs.empty() && back.asides.empty()));
}

TEST_CASE("Of keyframes that are not chosen, what happens later is left out, too") {
  const recording_path file;
  const auto all = some_inputs(); // keyframes 0 1 2, 1 and 0 move, 3, which moves, 2 goes, 4, 2
  record(file, all);
  CHECK(same(played(file, chosen(2, 1)).inputs, {all[0], all[1]}));
  CHECK(same(played(file, chosen(3, 1)).inputs, {all[0], all[1], all[2], all[3], all[4]}));
  CHECK(same(played(file, chosen(0, 2)).inputs, {all[0], all[2], all[4], all[7], all[8]}));
  CHECK(same(played(file, chosen(2, 2)).inputs, {all[0], all[2], all[4], all[7]}));
  CHECK(make_recording_source(file.text(), {}, chosen(0, 2), {})->total() == 3u);
  sequence_options shuffled;
  shuffled.shuffle = 1;
  CHECK_THROWS_AS(make_recording_source(file.text(), {}, shuffled, {}), std::invalid_argument);
}

TEST_CASE("A recording is played in its own time, or at a rate, and for a service it is received now") {
  const recording_path file;
  auto frames = std::vector<map_input>{a_keyframe(0), a_keyframe(1), a_keyframe(2)}; // 33 ms apart
  record(file, frames);
  const auto seconds = [](const auto& work) {
    const auto start = std::chrono::steady_clock::now();
    work();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  };
  CHECK(seconds([&] { played(file, {}, {true, false}); }) >= 0.066);
  CHECK(seconds([&] { played(file, paced(20)); }) >= 0.1);
  const auto before = system_ns();
  const auto back = played(file, {}, {false, true});
  CHECK(std::get<keyframe>(back.inputs.front()).received_ns >= before);
}

TEST_CASE("What a file cannot hold is refused") {
  const recording_path file;
  auto bad = a_keyframe(1);
  auto body = std::make_shared<owned_keyframe_body>();
  body->point_data.resize(9);
  body->colour_data.resize(8);
  bad.body = body;
  CHECK(record(file, {bad}).front() == verdict{outcome::refused, "colours has 8 bytes, must have 9"});
}

TEST_CASE("A file that may not grow ends the recording, keeps what is whole, and leaves the rest with its source") {
  const recording_path file;
  int failures = 0;
  std::vector<verdict> said;
  recorder to(file.text(), {mcap::packing::none, {}, {}, [&] { ++failures; }});
  const auto offer = [&](const map_input& what) { to.offer(what, [&](const verdict& v) { said.push_back(v); }); };
  offer(a_keyframe(0));
  {
    const file_limit least(to.so_far().bytes + 500);
    offer(a_keyframe(1));
    offer(a_keyframe(2));
  }
  REQUIRE(said.size() == 3);
  CHECK(said[0] == verdict{});
  CHECK(said[1].what == outcome::not_now);
  CHECK_THAT(said[1].reason, Catch::Contains("cannot write " + file.text()));
  CHECK(said[2].what == outcome::not_now);
  CHECK(failures == 1);
  CHECK_THROWS_WITH(to.close(), Catch::Contains("cannot write " + file.text()));
  CHECK(file.bytes().size() == to.so_far().bytes);
  CHECK(same(played(file).inputs, {a_keyframe(0)}));
}
