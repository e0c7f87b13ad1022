"""What a Method of faces and voices is trained on."""
