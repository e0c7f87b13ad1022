"""What the cards of the points models share."""

TRAINING_DATA = (
    "30 meshes: common-3d-test-models, libigl tutorial data, PU-Net (for research, not redistributed), trimesh (MIT)",
    "procedural shapes made by sentio.points.shapes (Apache-2.0)",
)
USE = (
    "Densifying point clouds of surfaces: scans, LiDAR, reconstructions. Not for measuring what was not scanned: new "
    "points are estimates, and close sheets nearer to each other than the spacing may be joined."
)
