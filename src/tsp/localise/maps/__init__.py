"""What methods with a map of segments (BMN, G-TAD) share: targets, training, sampling, candidates, detections."""
