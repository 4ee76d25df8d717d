#include "net/formats/slice_picture.hpp"

#include "net/formats/canvas.hpp"
#include "net/formats/colour_scale.hpp"
#include "net/formats/lettering.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <limits>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

namespace tessera {

namespace {

using quantity = slice_options::quantity;

struct theme {
  ink paper, text, soft, frame, hatch, hatch_line;
};
constexpr theme light{{255, 255, 255}, {28, 32, 38}, {104, 112, 122}, {150, 158, 168}, {240, 241, 243}, {208, 212, 217}};
constexpr theme dark{{18, 24, 32}, {228, 233, 238}, {146, 156, 168}, {86, 97, 110}, {30, 37, 46}, {54, 64, 76}};

constexpr ink black{0, 0, 0}, white{255, 255, 255};

// Pixels about and between panels. Above a plot is its title; below it are the axis and, where there is one, a scale.
constexpr int32_t margin = 18, gap = 26, above = 26, below = 40, beside = 44, scale_space = 62, scale_height = 12;
constexpr int32_t header = 44, footer = 34, least_panel = 250;

/// One voxel of the slice.
struct sample {
  float distance = 0;
  uint32_t weight = 0; ///< 0: not observed
  ink colour{};
};

/// The voxels of a slice by their coordinates on the plane's axes.
class slice_voxels {
public:
  slice_voxels(const field_slice& slice, const field_plane& plane, const slice_map& map)
    : plane_(plane), along_(axes_along(plane.axis)), edge_(static_cast<int32_t>(map.region_voxels)) {
    for (const auto& part : slice.parts)
      parts_[on_axis(part.region, along_[1])][on_axis(part.region, along_[0])] = &part;
  }

  /// Not observed where there is none.
  [[nodiscard]] sample at(int32_t u, int32_t v) const {
    const auto down = [&](int32_t x) { return x / edge_ - (x % edge_ < 0 ? 1 : 0); };
    const auto row = parts_.find(down(v));
    if (row == parts_.end())
      return {};
    const auto found = row->second.find(down(u));
    return found == row->second.end() ? sample{} : of(*found->second, u - down(u) * edge_, v - down(v) * edge_);
  }

  /// Calls `f(u, v, sample)` for each that is observed and wanted, row by row, so that the picture does not depend on the cut.
  template <class F>
  void for_each(F f) const {
    for (const auto& [row, parts] : parts_)
      for (int32_t v = 0; v < edge_; ++v)
        for (const auto& [column, part] : parts)
          for (int32_t u = 0; u < edge_; ++u)
            if (const auto its = of(*part, u, v);
                its.weight > 0 && is_wanted(0, column * edge_ + u) && is_wanted(1, row * edge_ + v))
              f(column * edge_ + u, row * edge_ + v, its);
  }

private:
  [[nodiscard]] bool is_wanted(size_t axis, int32_t at) const { return at >= plane_.low[axis] && at <= plane_.high[axis]; }
  [[nodiscard]] sample of(const region_slice& part, int32_t u, int32_t v) const {
    const auto i = static_cast<size_t>(v * edge_ + u);
    return {part.distances[i], part.weights[i], {part.colours[3 * i], part.colours[3 * i + 1], part.colours[3 * i + 2]}};
  }

  const field_plane& plane_;
  const std::array<size_t, 2> along_;
  const int32_t edge_;
  std::map<int32_t, std::map<int32_t, const region_slice*>> parts_; ///< by the second axis, then the first
};

/// Which voxels a plot shows, and how large.
struct window {
  std::array<int32_t, 2> low{}, high{};
  int32_t voxels = 1; ///< along a cell's edge: a cell is a voxel, or so many of them
  int32_t pixels = 1; ///< along a cell's edge
  std::array<int32_t, 2> cells{};

  [[nodiscard]] int32_t width() const { return cells[0] * pixels; }
  [[nodiscard]] int32_t height() const { return cells[1] * pixels; }
  /// Pixels from the plot's left, or bottom, to a place in voxels.
  [[nodiscard]] double pixel(size_t axis, double place) const { return (place - low[axis] + 0.5) / voxels * pixels; }
};

window window_of(const slice_voxels& all, const field_plane& plane, const slice_options& options) {
  window out;
  if (options.area_m) {
    out.low = plane.low;
    out.high = plane.high;
  } else {
    out.low.fill(std::numeric_limits<int32_t>::max());
    out.high.fill(std::numeric_limits<int32_t>::min());
    all.for_each([&](int32_t u, int32_t v, const sample&) {
      out.low = {std::min(out.low[0], u - 2), std::min(out.low[1], v - 2)}; // with a rim
      out.high = {std::max(out.high[0], u + 2), std::max(out.high[1], v + 2)};
    });
  }
  const auto count = [&](size_t axis) { return int64_t{out.high[axis]} - out.low[axis] + 1; };
  const auto most = std::max(count(0), count(1)), size = int64_t{options.size};
  out.voxels = static_cast<int32_t>((most + size - 1) / size);
  out.pixels = static_cast<int32_t>(std::clamp<int64_t>(size / most, 1, 32));
  for (size_t i = 0; i < 2; ++i)
    out.cells[i] = static_cast<int32_t>((count(i) + out.voxels - 1) / out.voxels);
  return out;
}

std::string printed(const char* format, double value) {
  std::array<char, 48> out{};
  std::snprintf(out.data(), out.size(), format, value);
  return out.data();
}

/// What a length is told in.
struct length_unit {
  double metres;
  const char* name;
};

length_unit unit_for(double metres) {
  return metres < 0.01 ? length_unit{1e-3, "mm"} : metres < 1 ? length_unit{1e-2, "cm"} : length_unit{1, "m"};
}

/// "2.5 cm".
std::string length_text(double metres) {
  const auto unit = unit_for(metres);
  return printed("%.3g ", metres / unit.metres) + unit.name;
}

/// The least of 1, 2, 5, 10, 20 ... times a power of ten that is no less than that.
double round_step(double least) {
  const auto power = std::pow(10., std::floor(std::log10(least)));
  for (const double times : {1., 2., 5.})
    if (times * power >= least * (1 - 1e-9))
      return times * power;
  return 10 * power;
}

class slice_drawing {
public:
  slice_drawing(const field_slice& slice, const field_plane& plane, const slice_options& options, const slice_map& map)
    : options_(options), map_(map), all_(slice, plane, map), window_(window_of(all_, plane, options)),
      cells_(static_cast<size_t>(window_.cells[0]) * static_cast<size_t>(window_.cells[1])), look_(options.dark ? dark : light) {
    all_.for_each([&](int32_t u, int32_t v, const sample& its) {
      auto& cell = cells_[index((u - window_.low[0]) / window_.voxels, (v - window_.low[1]) / window_.voxels)];
      if (cell.weight == 0 || std::abs(its.distance) < std::abs(cell.distance))
        cell = its;
      most_weight_ = std::max(most_weight_, its.weight);
    });
    if (options.show == quantity::all)
      panels_ = {quantity::distance, quantity::weight, quantity::colour};
    else
      panels_ = {options.show};
  }

  colour_image draw() {
    const auto stacked = panels_.size() > 1 && window_.width() > 2 * window_.height();
    const auto has_scale = [](quantity what) { return what != quantity::colour; };
    const auto panel_width = beside + std::max(window_.width(), least_panel);
    const auto count = static_cast<int32_t>(panels_.size());
    int32_t width = 2 * margin + panel_width, height = header + footer;
    if (stacked)
      for (const auto what : panels_)
        height += above + window_.height() + below + (has_scale(what) ? scale_space : 0) + gap / 2;
    else {
      width += (count - 1) * (panel_width + gap);
      height += above + window_.height() + below + (has_scale(panels_.front()) ? scale_space : 0);
    }
    paper_.emplace(static_cast<uint32_t>(width), static_cast<uint32_t>(height), look_.paper);
    draw_header(width);
    int32_t left = margin, top = header;
    for (const auto what : panels_) {
      draw_panel(what, left + beside, top + above);
      if (stacked)
        top += above + window_.height() + below + (has_scale(what) ? scale_space : 0) + gap / 2;
      else
        left += panel_width + gap;
    }
    draw_footer(height - footer);
    return std::move(*paper_).take();
  }

private:
  [[nodiscard]] size_t index(int32_t u, int32_t v) const {
    return static_cast<size_t>(v) * static_cast<size_t>(window_.cells[0]) + static_cast<size_t>(u);
  }

  void heading(int32_t x, int32_t base, const std::string& words) {
    paper_->text(x, base, words, look_.text);
    paper_->text(x, base, words, look_.text); // twice is bolder
  }

  void draw_header(int32_t width) {
    heading(margin, 24, "Field at " + place_text(options_));
    const auto voxel = static_cast<double>(map_.voxel_m), truncation = static_cast<double>(map_.truncation_m);
    auto about = "voxels of " + length_text(voxel) + ", truncation " + length_text(truncation);
    if (window_.voxels > 1)
      about += ", a pixel is " + std::to_string(window_.voxels) + " x " + std::to_string(window_.voxels) + " voxels";
    const auto after = margin + width_of("Field at " + place_text(options_)) + gap;
    const auto fits = after + width_of(about) < width - margin;
    paper_->text(fits ? after : margin, fits ? 24 : 42, about, look_.soft);
  }

  void draw_panel(quantity what, int32_t left, int32_t top) {
    const pixel_box plot{left, top, window_.width(), window_.height()};
    heading(left, top - 9,
            what == quantity::distance ? std::string("Distance, ") + unit_for(static_cast<double>(map_.truncation_m)).name
            : what == quantity::weight ? "Weight"
                                       : "Colour");
    paper_->frame(plot, look_.frame);
    for (int32_t v = 0; v < window_.cells[1]; ++v)
      for (int32_t u = 0; u < window_.cells[0]; ++u) {
        const auto& cell = cells_[index(u, v)];
        const pixel_box square{plot.left + u * window_.pixels, plot.bottom() - (v + 1) * window_.pixels, window_.pixels,
                               window_.pixels};
        if (cell.weight == 0)
          hatch(square);
        else
          paper_->fill(square, colour_of(what, cell));
      }
    if (what != quantity::colour)
      draw_surface(plot, what == quantity::weight ? white : black);
    draw_axes(plot);
    if (what != quantity::colour)
      draw_scale(what, {left, plot.bottom() + below, std::max(window_.width(), least_panel), scale_height});
  }

  [[nodiscard]] ink colour_of(quantity what, const sample& cell) const {
    switch (what) {
    case quantity::distance:
      return diverging_colour(cell.distance);
    case quantity::weight:
      return rising_colour(share_of_weight(cell.weight));
    default:
      return cell.colour;
    }
  }

  /// On a logarithmic scale from 1 to the most.
  [[nodiscard]] float share_of_weight(double weight) const {
    return most_weight_ <= 1 ? 1.f : static_cast<float>(std::log(weight) / std::log(static_cast<double>(most_weight_)));
  }

  void hatch(const pixel_box& box) {
    for (int32_t y = box.top; y < box.bottom(); ++y)
      for (int32_t x = box.left; x < box.right(); ++x)
        paper_->put(x, y, (x + y) % 7 == 0 ? look_.hatch_line : look_.hatch);
  }

  /// Marching squares between the middles of four observed voxels, as marching cubes would cut the plane.
  void draw_surface(const pixel_box& plot, const ink& colour) {
    const auto width = std::clamp(0.3f * static_cast<float>(window_.pixels) / static_cast<float>(window_.voxels), 1.4f, 2.2f);
    all_.for_each([&](int32_t u, int32_t v, const sample& first) {
      const std::array<std::array<int32_t, 2>, 4> places{{{u, v}, {u + 1, v}, {u + 1, v + 1}, {u, v + 1}}};
      std::array<sample, 4> corners{first, all_.at(u + 1, v), all_.at(u + 1, v + 1), all_.at(u, v + 1)};
      if (std::any_of(corners.begin(), corners.end(), [](const sample& c) { return c.weight == 0; }))
        return;
      // Each run of corners inside is cut off by itself, from the side by which it is entered to the one by which it is left.
      std::optional<std::array<float, 2>> entered, first_left;
      const auto crossing = [&](size_t i) {
        const auto& a = corners[i];
        const auto& b = corners[(i + 1) % 4];
        const auto share = a.distance / (a.distance - b.distance);
        std::array<float, 2> out{};
        for (size_t axis = 0; axis < 2; ++axis) {
          const auto from = places[i][axis], to = places[(i + 1) % 4][axis];
          const auto pixel
            = static_cast<float>(window_.pixel(axis, static_cast<double>(from) + static_cast<double>(share) * (to - from)));
          out[axis] = axis == 0 ? static_cast<float>(plot.left) + pixel : static_cast<float>(plot.bottom()) - pixel;
        }
        return out;
      };
      const auto inside = [&](size_t i) { return corners[i % 4].distance < 0; };
      for (size_t i = 0; i < 4; ++i) {
        if (!inside(i) && inside(i + 1)) {
          entered = crossing(i);
        } else if (inside(i) && !inside(i + 1)) {
          if (entered)
            paper_->line(*entered, crossing(i), width, colour, plot);
          else
            first_left = crossing(i);
          entered = entered ? std::nullopt : entered;
        }
      }
      if (entered && first_left)
        paper_->line(*entered, *first_left, width, colour, plot);
    });
  }

  void draw_axes(const pixel_box& plot) {
    const auto along = axes_along(options_.axis);
    const auto voxel = static_cast<double>(map_.voxel_m);
    const auto pixel_m = voxel * window_.voxels / window_.pixels;
    for (size_t axis = 0; axis < 2; ++axis) {
      const auto length = axis == 0 ? plot.width : plot.height;
      const auto step = round_step(pixel_m * (axis == 0 ? 70 : 44));
      const auto digits = std::max(0, static_cast<int>(std::ceil(-std::log10(step) - 1e-9)));
      const auto format = "%." + std::to_string(digits) + "f";
      const auto first = (window_.low[axis] - 0.5) * voxel;
      for (auto tick = std::ceil(first / step); tick <= std::floor((first + length * pixel_m) / step); ++tick) {
        const auto at = static_cast<int32_t>(std::lround(window_.pixel(axis, tick * step / voxel)));
        const auto words = printed(format.c_str(), tick * step + 0.0); // no -0
        if (axis == 0) {
          paper_->fill({plot.left + at, plot.bottom() + 1, 1, 4}, look_.frame);
          paper_->text(plot.left + at, plot.bottom() + 17, words, look_.soft, canvas::align::middle);
        } else {
          paper_->fill({plot.left - 5, plot.bottom() - at, 4, 1}, look_.frame);
          paper_->text(plot.left - 8, plot.bottom() - at + letter_height / 2, words, look_.soft, canvas::align::right);
        }
      }
    }
    const auto name = [&](size_t axis) { return std::string(1, static_cast<char>('x' + along[axis])) + ", m"; };
    paper_->text(plot.right(), plot.bottom() + 32, name(0), look_.soft, canvas::align::right);
    paper_->text(plot.left - 8, plot.top - 9, name(1), look_.soft, canvas::align::right);
  }

  void draw_scale(quantity what, const pixel_box& box) {
    for (int32_t x = 0; x < box.width; ++x) {
      const auto share = static_cast<float>(x) / static_cast<float>(box.width - 1);
      paper_->fill({box.left + x, box.top, 1, box.height},
                   what == quantity::distance ? diverging_colour(2 * share - 1) : rising_colour(share));
    }
    paper_->frame(box, look_.frame);
    const auto mark = [&](double share, const std::string& words) {
      const auto at = box.left + static_cast<int32_t>(std::lround(share * (box.width - 1)));
      paper_->fill({at, box.bottom() + 1, 1, 4}, look_.frame);
      paper_->text(at, box.bottom() + 17, words, look_.soft,
                   share <= 0   ? canvas::align::left
                   : share >= 1 ? canvas::align::right
                                : canvas::align::middle);
    };
    if (what == quantity::distance) {
      const auto truncation = static_cast<double>(map_.truncation_m), units = truncation / unit_for(truncation).metres;
      for (const double share : {-1., -0.5, 0., 0.5, 1.})
        mark((share + 1) / 2, printed(share > 0 ? "+%.3g" : "%.3g", share * units));
      paper_->text(box.left, box.bottom() + 34, "behind the surface", look_.soft);
      paper_->text(box.right(), box.bottom() + 34, "before it", look_.soft, canvas::align::right);
    } else {
      const auto most = static_cast<double>(std::max(1u, most_weight_));
      auto last = box.left;
      for (double weight = 1; weight < most; weight *= 10) {
        const auto words = printed("%g", weight);
        const auto share = static_cast<double>(share_of_weight(weight));
        const auto end = box.left + static_cast<int32_t>(share * box.width) + width_of(words);
        if ((weight == 1 || end - last > 2 * width_of(words)) && end < box.right() - width_of(printed("%g", most)) - 8) {
          mark(share, words);
          last = end;
        }
      }
      mark(1, printed("%.9g", most));
      paper_->text(box.left, box.bottom() + 34, "sum of the samples' weights", look_.soft);
    }
  }

  void draw_footer(int32_t top) {
    const pixel_box swatch{margin + beside, top + 6, 22, 12};
    hatch(swatch);
    paper_->frame(swatch, look_.frame);
    int32_t left = swatch.right() + 8;
    paper_->text(left, swatch.bottom() - 1, "not observed", look_.soft);
    if (options_.show == quantity::colour)
      return;
    left += width_of("not observed") + gap;
    const pixel_box line{left, top + 6, 22, 12};
    paper_->fill(line, options_.show == quantity::weight ? rising_colour(0.3f) : diverging_colour(0));
    paper_->frame(line, look_.frame);
    const auto middle = static_cast<float>(line.top) + 6;
    paper_->line({static_cast<float>(line.left) + 3, middle}, {static_cast<float>(line.right()) - 3, middle}, 2,
                 options_.show == quantity::weight ? white : black, line);
    paper_->text(line.right() + 8, line.bottom() - 1, "surface", look_.soft);
  }

  const slice_options& options_;
  const slice_map& map_;
  const slice_voxels all_;
  const window window_;
  std::vector<sample> cells_;
  uint32_t most_weight_ = 0;
  std::vector<quantity> panels_;
  const theme& look_;
  std::optional<canvas> paper_;
};

} // namespace

colour_image draw_slice(const field_slice& slice, const field_plane& plane, const slice_options& options, const slice_map& map) {
  if (slice.parts.empty())
    throw std::invalid_argument("there is nothing in the slice");
  return slice_drawing(slice, plane, options, map).draw();
}

} // namespace tessera
