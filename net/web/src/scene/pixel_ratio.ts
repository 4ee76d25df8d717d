// How many pixels to draw per CSS pixel: all that the screen has where the GPU keeps up, fewer where it does not.

/// Watches frame times while the picture moves and steps down when they stay long. It does not step up again: that would flicker.
export class pixel_ratio {
  value: number;
  private slow_ = 0;
  private fast_ = 0;

  /// `screen` is devicePixelRatio; more than 2 cannot be seen on a moving mesh.
  constructor(screen: number) {
    this.value = Math.min(2, Math.max(1, screen));
  }

  /// Takes the time between two frames that followed each other; true if `value` became smaller.
  frame(ms: number): boolean {
    if (this.value <= 1) return false;
    if (ms > 45) this.slow_++;
    else this.fast_++;
    if (this.slow_ + this.fast_ < 40) return false;
    const step = this.slow_ > this.fast_;
    this.slow_ = this.fast_ = 0;
    if (step) this.value = Math.max(1, this.value - 0.5);
    return step;
  }
}
