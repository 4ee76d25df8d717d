#include "net/commands/times_file.hpp"

#include <cerrno>
#include <stdexcept>
#include <system_error>

namespace tessera {

times_file::times_file(const std::string& path) : path_(path) {
  if (path_.empty())
    return;
  out_.open(path_);
  if (!out_)
    throw std::system_error(errno, std::generic_category(), "cannot write the times to " + path_);
}

void times_file::write(const std::vector<stage_times>& times) {
  if (path_.empty())
    return;
  out_ << "keyframe,rays_ms,integrate_ms,extract_ms,total_ms\n";
  for (size_t i = 0; i < times.size(); ++i)
    out_ << i << ',' << times[i].rays_s * 1e3 << ',' << times[i].integrate_s * 1e3 << ',' << times[i].extract_s * 1e3 << ','
         << times[i].total_s * 1e3 << '\n';
  if (!out_.flush())
    throw std::runtime_error("cannot write the times to " + path_ + ": is the disk full?");
}

} // namespace tessera
