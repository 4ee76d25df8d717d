#include "gpu/cuda/request_line.hpp"

#include <algorithm>
#include <set>
#include <type_traits>
#include <utility>

namespace tessera::cuda {

namespace {

/// Of one batch: keeps the buffers of a launch within bounds, and the time until others have their turn. Entries are those of the
/// tables of regions that are meshed.
constexpr size_t most_requests = 512, most_entries = size_t{1} << 17;

} // namespace

void field_request::fail(const std::exception_ptr& why) {
  std::visit(
    [&]<class Answer>(Answer& to) {
      if constexpr (std::is_same_v<Answer, async_fields::done>)
        to(why);
      else if constexpr (std::is_same_v<Answer, asked_keyframe>)
        to.answer({}, why);
      else
        to({}, why);
    },
    answer);
}

request_line::request_line(steady::duration extract_wait, uint32_t table_size)
  : extract_wait_(extract_wait), most_extractions_(std::clamp<size_t>(most_entries / table_size, 1, most_requests)) {}

void request_line::add_patient(region_key region, async_fields::mesh_done answer) {
  patient_.push_back({region, std::move(answer), steady::now()});
}

void request_line::fail(const std::exception_ptr& why) {
  for (auto& r : std::exchange(waiting_, {}))
    r.fail(why);
  for (auto& r : std::exchange(patient_, {}))
    r.answer(nullptr, why);
}

request_line::steady::time_point request_line::patient_turn() const {
  const auto patience_ends = patient_.front().since + extract_wait_;
  return empty() ? std::min(patient_from_, patience_ends) : patience_ends;
}

field_request request_line::take_next() {
  auto next = std::move(waiting_.front());
  waiting_.pop_front();
  return next;
}

std::vector<field_request> request_line::take_batch() {
  std::vector<field_request> batch;
  std::deque<field_request> left;
  std::set<region_key> passed;
  const auto what = waiting_.front().what;
  const size_t most = most_at_once(what);
  bool stopped = false;
  for (auto& r : waiting_) {
    if (!stopped && r.what == what && batch.size() < most && !passed.contains(r.region)) {
      batch.push_back(std::move(r));
      continue;
    }
    stopped = stopped || r.what == field_request::task::clear; // nothing passes that
    if (r.what != field_request::task::take)
      passed.insert(r.region);
    left.push_back(std::move(r));
  }
  waiting_ = std::move(left);
  return batch;
}

std::vector<field_request> request_line::take_patient() {
  std::vector<field_request> batch;
  std::set<region_key> there;
  while (!patient_.empty() && batch.size() < most_extractions_ && there.insert(patient_.front().region).second) {
    batch.push_back({field_request::task::extract, patient_.front().region, std::move(patient_.front().answer)});
    patient_.pop_front();
  }
  return batch;
}

size_t request_line::most_at_once(field_request::task what) const {
  if (what == field_request::task::extract)
    return most_extractions_;
  return what == field_request::task::stats || what == field_request::task::drop ? most_requests : 1;
}

} // namespace tessera::cuda
